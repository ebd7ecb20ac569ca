"""Coordinate Newton steps on codes whose inner products are to match a similarity."""

from __future__ import annotations

import numpy as np

from sklhash._kernels.popcount import kernel

__all__ = [
    "change_along_entry",
    "error_of_pairs",
    "guarded_step",
    "similar_sums",
    "sweep_label_sets",
    "sweep_pairs",
]


@kernel
def change_along_entry(entry, slope, curvature, step):
    """Exact change of the objective when one entry of the codes moves by `step`."""
    return step * (slope + step * (0.5 * curvature + step * (4 * entry + step)))


@kernel
def guarded_step(entry, slope, curvature):
    """Newton step within [-1, 1] that never raises the objective.

    entry, slope, curvature : float64, an entry of the codes and the derivatives there
    """
    low, high = -1 - entry, 1 - entry
    if curvature > 0:
        step = min(max(-slope / curvature, low), high)
    else:
        step = low if slope > 0 else high
    if change_along_entry(entry, slope, curvature, step) <= 0:
        return step
    best, least = 0.0, 0.0
    for candidate in (0.5 * step, low, high):
        change = change_along_entry(entry, slope, curvature, candidate)
        if change < least:
            best, least = candidate, change
    return best


@kernel
def sweep_label_sets(
    codes, order, set_of_row, starts, labels, label_starts, label_sets, sums, gram
):
    """Visit all entries once and return the change of the objective, not positive.

    codes : float64 (n_rows, n_bits), within [-1, 1], changed
    order : int64 (n_rows,), the rows in the order of the visit
    set_of_row : int64 (n_rows,), which label set each row has
    starts, labels : int32, the labels of each set, as in a CSR matrix
    label_starts, label_sets : int32, the sets with each label, likewise
    sums : float64 (n_sets, n_bits), codes of each set added up, kept up to date
    gram : float64 (n_bits, n_bits), codes.T @ codes, kept up to date
    """
    n_sets, n_bits = sums.shape
    total = sums.sum(axis=0)
    pull = np.empty(n_bits)
    seen = np.full(n_sets, -1, dtype=np.int64)
    change = 0.0
    for i in order:
        own = set_of_row[i]
        _similar_sum(
            own, i, starts, labels, label_starts, label_sets, sums, total, seen, pull
        )
        code = codes[i]
        norm = np.dot(code, code)
        for k in range(n_bits):
            entry = code[k]
            slope = 4 * (np.dot(code, gram[k]) - n_bits * pull[k])
            curvature = 4 * (gram[k, k] + entry * entry + norm - n_bits)
            step = guarded_step(entry, slope, curvature)
            if step == 0:
                continue
            change += change_along_entry(entry, slope, curvature, step)
            for j in range(n_bits):
                gram[k, j] += step * code[j]
                gram[j, k] += step * code[j]
            gram[k, k] += step * step
            norm += step * (2 * entry + step)
            sums[own, k] += step
            total[k] += step
            code[k] = min(max(entry + step, -1.0), 1.0)
    return change


@kernel
def similar_sums(starts, labels, label_starts, label_sets, sums, pulls):
    """Add up, for each label set, `sums` times the similarity: +1 if shared, else -1.

    The first five arguments are those of `sweep_label_sets`.
    pulls : float64 (n_sets, n_bits), written
    """
    total = sums.sum(axis=0)
    seen = np.full(len(sums), -1, dtype=np.int64)
    for s in range(len(sums)):
        _similar_sum(
            s, s, starts, labels, label_starts, label_sets, sums, total, seen, pulls[s]
        )


@kernel
def sweep_pairs(codes, order, starts, columns, similarity):
    """Visit all entries once and return the change of the objective, not positive.

    codes : float64 (n_rows, n_bits), within [-1, 1], changed
    order : int64 (n_rows,), the rows in the order of the visit
    starts, columns, similarity : int32, int32, float64, the known entries as in a CSR
        matrix, symmetric and with a whole diagonal
    """
    n_bits = codes.shape[1]
    residual = np.empty(np.diff(starts).max())
    change = 0.0
    for i in order:
        code = codes[i]
        neighbours = columns[starts[i] : starts[i + 1]]
        own = 0
        for e, j in enumerate(neighbours):
            wanted = n_bits * similarity[starts[i] + e]
            residual[e] = np.dot(code, codes[j]) - wanted
            if j == i:
                own = e
        for k in range(n_bits):
            entry = code[k]
            slope, curvature = 0.0, entry * entry + residual[own]
            for e, j in enumerate(neighbours):
                slope += residual[e] * codes[j, k]
                curvature += codes[j, k] * codes[j, k]
            step = guarded_step(entry, 4 * slope, 4 * curvature)
            if step == 0:
                continue
            change += change_along_entry(entry, 4 * slope, 4 * curvature, step)
            for e, j in enumerate(neighbours):
                residual[e] += step * codes[j, k]
            residual[own] += step * (entry + step)
            code[k] = min(max(entry + step, -1.0), 1.0)
    return change


@kernel
def error_of_pairs(codes, starts, columns, similarity):
    """Return the objective, the sum of squares over the known entries."""
    n_rows, n_bits = codes.shape
    error = 0.0
    for i in range(n_rows):
        for e in range(starts[i], starts[i + 1]):
            inner = np.dot(codes[i], codes[columns[e]])
            error += (inner - n_bits * similarity[e]) ** 2
    return error


@kernel
def _similar_sum(
    own, mark, starts, labels, label_starts, label_sets, sums, total, seen, pull
):
    """Write the sum over all rows of their code times their similarity to one set.

    Sets that share several labels with `own` count once: `seen` holds the mark of the
    last visit to each, and the marks of two calls differ.
    """
    pull[:] = -total
    for place in range(starts[own], starts[own + 1]):
        label = labels[place]
        for s in label_sets[label_starts[label] : label_starts[label + 1]]:
            if seen[s] != mark:
                seen[s] = mark
                for k in range(len(pull)):
                    pull[k] += 2 * sums[s, k]
