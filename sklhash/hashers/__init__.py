"""Hashers: estimators that turn features into codes."""

from sklhash.hashers.base import BaseHasher
from sklhash.hashers.deep import DeepHasher
from sklhash.hashers.loss import HashLoss
from sklhash.hashers.lsh import LSH
from sklhash.hashers.orthohash import OrthoHash

__all__ = ["LSH", "BaseHasher", "DeepHasher", "HashLoss", "OrthoHash"]
