"""Search among codes."""

from sklhash.neighbors.hamming import HammingNeighbors
from sklhash.neighbors.hashed import HashedNeighbors

__all__ = ["HammingNeighbors", "HashedNeighbors"]
