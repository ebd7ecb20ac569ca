"""A report as a readable table."""

from __future__ import annotations

import textwrap
from typing import Any

__all__ = ["as_text"]

_LONGEST_LINE = 80


def as_text(
    labels: list[str],
    scores: list[dict[str, float]],
    protocol: dict[str, Any],
    n_items: int,
    digits: int,
) -> str:
    """Write scores under each other and the protocol below them.

    Parameters
    ----------
    labels : list of str
        What the scores are called.
    scores : list of dict
        With "score" and, if there are intervals, "low" and "high".
    protocol : dict
        Options and sizes, as in the report's dict.
    n_items : int
        What a query can retrieve.
    digits : int
        Decimals.
    """
    level = protocol["confidence_level"]
    heading = "" if level is None else f"{100 * level:g} % interval"
    rows = [("", "score", heading), ("", "", "")]
    for label, score in zip(labels, scores, strict=True):
        ends = [f"{score[end]:.{digits}f}" for end in ("low", "high") if end in score]
        rows.append((label, f"{score['score']:.{digits}f}", " to ".join(ends)))
    first, second, third = (max(map(len, column)) for column in zip(*rows, strict=True))
    lines = [
        f"{label:{first}}  {score:>{second}}  {interval:>{third}}".rstrip()
        for label, score, interval in rows
    ]
    return "\n".join([*lines, "", *_protocol_lines(protocol, n_items)])


def _protocol_lines(protocol: dict[str, Any], n_items: int) -> list[str]:
    """State how the scores were made."""
    top = (
        "all items" if protocol["k"] == n_items else f"the first {protocol['k']} items"
    )
    divisor = {
        "hits": "the relevant items found",
        "relevant": "all relevant items",
        "min": "all relevant items or k",
    }[protocol["normalize"]]
    ties = {"expected": "in all orders (expected)", "index": "in database order"}
    empty = {"zero": "count 0", "skip": "are left out", "raise": "are refused"}
    labels = "label indicators" if protocol["multilabel"] else "classes"
    name = "" if protocol["protocol"] is None else f" as in {protocol['protocol']!r}"
    rules = (
        f"mAP over {top}, divided by {divisor}{name}; ties {ties[protocol['ties']]}; "
        f"queries that a score is not defined for {empty[protocol['empty']]}; "
        "precision within a radius where there is nothing counts 0"
        + ("; queries weighted" if protocol["weighted"] else "")
        + "."
    )
    sizes = (
        f"{protocol['n_queries']} queries, {protocol['n_database']} database items"
        + (", each query without itself" if protocol["exclude_self"] else "")
        + f", {protocol['n_bits']} bits, {labels}."
    )
    sentences = [rules, sizes]
    if protocol["confidence_level"] is not None:
        resamples = protocol["n_resamples"]
        sentences.append(f"Intervals: bootstrap over queries, {resamples} samples.")
    return [line for each in sentences for line in textwrap.wrap(each, _LONGEST_LINE)]
