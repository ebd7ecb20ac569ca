"""How a code that was found is written: query, distance and place in one number.

The query is in the highest bits and the place in the lowest, so that sorted numbers are
in the order of queries, distances and places. Nothing here needs numba.
"""

from __future__ import annotations

__all__ = ["DISTANCE_BITS", "PLACE", "PLACE_BITS"]

DISTANCE_BITS = 16
PLACE_BITS = 32
PLACE = (1 << PLACE_BITS) - 1
