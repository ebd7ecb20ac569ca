"""Search among codes."""

from sklhash.neighbors.hamming import HammingNeighbors

__all__ = ["HammingNeighbors"]
