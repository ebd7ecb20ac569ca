"""The scores that a report lists."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from sklhash.metrics import formulas
from sklhash.metrics.formulas import Formula
from sklhash.metrics.options import NO_RELEVANT
from sklhash.metrics.protocols import BOUNDS, APOptions, has_bounds, where_empty
from sklhash.metrics.relevance import Relevance

__all__ = ["Row", "rows_of"]


class Row(NamedTuple):
    """A score of the report."""

    name: str
    label: str
    formula: Formula
    ties: str
    empty: str
    lacking: str = NO_RELEVANT


def rows_of(
    relevance: Relevance, options: APOptions, at: list[int], radius: int
) -> list[Row]:
    """List the scores of a report, as many as make sense for what was retrieved."""
    ties, empty = options.ties, options.empty

    def at_ranks(name: str, label: str, formula: Callable[[int], Formula]) -> list[Row]:
        return [
            Row(f"{name}_at_{k}", f"{label}@{k}", formula(k), ties, empty) for k in at
        ]

    graded = at_ranks("average_cumulative_gain", "ACG", formulas.cumulative_gain)
    reciprocal_rank = formulas.reciprocal_rank(relevance.n_items)
    return [
        *_average_precisions(relevance, options),
        *(graded if relevance.multilabel else []),
        *at_ranks("precision", "precision", formulas.precision),
        *at_ranks("recall", "recall", formulas.recall),
        *at_ranks("ndcg", "NDCG", formulas.ndcg),
        *_within_radius(radius),
        Row(
            "mean_reciprocal_rank", "mean reciprocal rank", reciprocal_rank, ties, empty
        ),
        Row("r_precision", "R-precision", formulas.r_precision(), ties, empty),
    ]


def _average_precisions(relevance: Relevance, options: APOptions) -> list[Row]:
    """List the mAP, its bounds if it has any, and with labels its weighted form."""
    n_items = relevance.n_items
    top = "all" if options.k == n_items else options.k

    def row(name: str, label: str, formula: Formula, ties: str) -> Row:
        lacking = where_empty(options, n_items)
        return Row(name, label, formula, ties, options.empty, lacking)

    name, plain = "mean_average_precision", formulas.average_precision(options)
    rows = [row(name, f"mAP@{top}", plain, options.ties)]
    for bound, order in zip(BOUNDS, ("best", "worst"), strict=True):
        if has_bounds(options, n_items):
            formula = formulas.average_precision(options._replace(ties=bound))
            label = f"  {order} order of ties"
            rows.append(row(f"{name}_{bound}", label, formula, "expected"))
    if relevance.multilabel:
        weighted = formulas.weighted_average_precision(options)
        rows.append(
            row(f"weighted_{name}", f"weighted mAP@{top}", weighted, options.ties)
        )
    return rows


def _within_radius(radius: int) -> list[Row]:
    """List the precision within a radius, 0 where there is nothing, and how often."""
    within = formulas.precision_within(radius)
    return [
        Row(
            f"precision_within_radius_{radius}",
            f"precision within radius {radius}",
            lambda ranking: np.nan_to_num(within(ranking)),
            "expected",
            "zero",
        ),
        Row(
            f"empty_share_within_radius_{radius}",
            "  share of queries with nothing there",
            lambda ranking: np.isnan(within(ranking)).astype(float),
            "expected",
            "zero",
        ),
    ]
