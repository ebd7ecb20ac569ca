"""Show how many cases were run."""

from tests.fuzz import cases


def pytest_terminal_summary(terminalreporter):
    if cases.seen:
        terminalreporter.section("fuzzing")
        for name, n_cases in cases.seen.items():
            terminalreporter.write_line(f"{n_cases:9,} {name}")
        terminalreporter.write_line(f"{cases.seen.total():9,} cases in all")
