"""Retrieval metrics and scorers that state how they treat ties."""

from sklhash.metrics.ranking import mean_average_precision_score
from sklhash.metrics.scorers import make_retrieval_scorer, map_scorer

__all__ = ["make_retrieval_scorer", "map_scorer", "mean_average_precision_score"]
