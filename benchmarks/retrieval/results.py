"""The file of results, one JSON line a run, and which of them are still asked for."""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from .datasets import PROTOCOLS
from .methods import Method
from .trials import Trial


class Results:
    """What has been run so far, kept in a file as it comes.

    A result belongs to its data set, its method and all the parameters of the method:
    where a default has changed since, the result no longer counts.
    """

    def __init__(self, path: Path, methods: dict[str, Method]) -> None:
        self.path = path
        self.methods = methods
        self.of_trial = {
            trial: result
            for trial, result in self._read()
            if self._counts(trial, result)
        }

    def add(self, trial: Trial, result: dict[str, Any]) -> None:
        """Keep the result of a trial, on disk before this returns."""
        result = {**asdict(trial), "parameters": self._parameters(trial), **result}
        self.of_trial[trial] = result
        with self.path.open("ab+") as file:
            file.write(self._end_of_line(file) + json.dumps(result).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def is_done(self, trial: Trial) -> bool:
        return "error" not in self.of_trial.get(trial, {"error": "not run"})

    def _read(self) -> Iterator[tuple[Trial, dict[str, Any]]]:
        lines = self.path.read_bytes().splitlines() if self.path.exists() else []
        for line in lines:
            try:
                result = json.loads(line)
            except ValueError:  # half a line, of a run that was killed as it wrote
                continue
            yield Trial(*(result[field.name] for field in fields(Trial))), result

    def _counts(self, trial: Trial, result: dict[str, Any]) -> bool:
        return (
            trial.dataset in PROTOCOLS
            and trial.method in self.methods
            and result["parameters"] == self._parameters(trial)
        )

    def _parameters(self, trial: Trial) -> dict[str, str]:
        return self.methods[trial.method].parameters(trial.n_bits, trial.seed)

    @staticmethod
    def _end_of_line(file: Any) -> bytes:
        """Return what ends the half line that an interruption has left, if it has."""
        if file.seek(0, os.SEEK_END) == 0:
            return b""
        file.seek(-1, os.SEEK_END)
        return b"" if file.read(1) == b"\n" else b"\n"
