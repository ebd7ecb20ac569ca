"""Retrieval metrics, scorers and plots that state how they treat ties."""

from sklhash.codes import code_statistics
from sklhash.metrics.comparison import compare_retrieval
from sklhash.metrics.curves import precision_recall_curve
from sklhash.metrics.neighbor_recall import neighbor_recall_score
from sklhash.metrics.plots import (
    BitStatisticsDisplay,
    CodeEmbeddingDisplay,
    DistanceHistogramDisplay,
    HammingPrecisionRecallDisplay,
    PrecisionAtKDisplay,
    PrecisionAtRadiusDisplay,
    RetrievedImagesDisplay,
    TrainingCurveDisplay,
)
from sklhash.metrics.quantization import quantization_error_score
from sklhash.metrics.ranking import (
    average_cumulative_gain_score,
    mean_average_precision_score,
    mean_reciprocal_rank_score,
    ndcg_at_k_score,
    precision_at_k_score,
    precision_within_radius_score,
    r_precision_score,
    recall_at_k_score,
    weighted_mean_average_precision_score,
)
from sklhash.metrics.relevance import shared_counts
from sklhash.metrics.report import retrieval_report
from sklhash.metrics.scorers import (
    make_retrieval_scorer,
    map_at_1000_scorer,
    map_scorer,
    neighbor_recall_scorer,
    precision_at_100_scorer,
    precision_within_radius_2_scorer,
)

__all__ = [
    "BitStatisticsDisplay",
    "CodeEmbeddingDisplay",
    "DistanceHistogramDisplay",
    "HammingPrecisionRecallDisplay",
    "PrecisionAtKDisplay",
    "PrecisionAtRadiusDisplay",
    "RetrievedImagesDisplay",
    "TrainingCurveDisplay",
    "average_cumulative_gain_score",
    "code_statistics",
    "compare_retrieval",
    "make_retrieval_scorer",
    "map_at_1000_scorer",
    "map_scorer",
    "mean_average_precision_score",
    "mean_reciprocal_rank_score",
    "ndcg_at_k_score",
    "neighbor_recall_score",
    "neighbor_recall_scorer",
    "precision_at_100_scorer",
    "precision_at_k_score",
    "precision_recall_curve",
    "precision_within_radius_2_scorer",
    "precision_within_radius_score",
    "quantization_error_score",
    "r_precision_score",
    "recall_at_k_score",
    "retrieval_report",
    "shared_counts",
    "weighted_mean_average_precision_score",
]
