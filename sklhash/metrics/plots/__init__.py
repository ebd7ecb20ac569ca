"""Displays of codes and of what they retrieve, in scikit-learn's manner."""

from sklhash.metrics.plots.bit_statistics import BitStatisticsDisplay
from sklhash.metrics.plots.code_embedding import CodeEmbeddingDisplay
from sklhash.metrics.plots.distance_histogram import DistanceHistogramDisplay
from sklhash.metrics.plots.precision_at_k import PrecisionAtKDisplay
from sklhash.metrics.plots.precision_at_radius import PrecisionAtRadiusDisplay
from sklhash.metrics.plots.precision_recall import HammingPrecisionRecallDisplay
from sklhash.metrics.plots.retrieved_images import RetrievedImagesDisplay
from sklhash.metrics.plots.training_curve import TrainingCurveDisplay

__all__ = [
    "BitStatisticsDisplay",
    "CodeEmbeddingDisplay",
    "DistanceHistogramDisplay",
    "HammingPrecisionRecallDisplay",
    "PrecisionAtKDisplay",
    "PrecisionAtRadiusDisplay",
    "RetrievedImagesDisplay",
    "TrainingCurveDisplay",
]
