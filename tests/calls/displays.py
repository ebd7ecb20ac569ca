"""Valid calls of displays, and what their parameters may not be."""

import matplotlib.pyplot as plt
import numpy as np

from sklhash import code_statistics
from sklhash.metrics import plots
from tests.calls.data import (
    A_LABEL_TOO_FEW,
    AXES,
    CODES,
    COUNTS,
    ESTIMATOR,
    FLAGS,
    IMAGES,
    LABELS,
    NAMES,
    NAN,
    NEW_X,
    NOT_CODES,
    RETRIEVAL,
    WRONG_RETRIEVAL,
    Call,
    X,
    Y,
    fitted,
)

__all__ = ["DISPLAYS"]

DRAWN = {"name": NAMES, "ax": AXES}
NUMBERS = [0.2, 0.8]
NOT_NUMBERS = [["a", "b"], [[[1]]], "ab", 3]


def calls_of(display, of_curve, wrong_of_curve, **wrong):
    """Return the calls of a display of a retrieval: of its curve, and what draws it."""
    cls = getattr(plots, display)
    estimator = {"estimator": fitted("LSH"), "X": X, "y": Y}
    wrong = {**DRAWN, **wrong}
    return {
        display: Call(lambda: cls, of_curve, {**wrong_of_curve, **wrong}),
        f"{display}.from_estimator": Call(
            lambda: cls.from_estimator,
            estimator,
            {**NEW_X, **ESTIMATOR, "y": [A_LABEL_TOO_FEW, None], **wrong},
        ),
        f"{display}.from_predictions": Call(
            lambda: cls.from_predictions, RETRIEVAL, {**WRONG_RETRIEVAL, **wrong}
        ),
        f"{display}.plot": Call(lambda: cls(**of_curve).plot, {}, wrong),
    }


CURVES = {
    **calls_of(
        "DistanceHistogramDisplay",
        {"relevant": [1, 0], "other": [0, 1]},
        {"relevant": NOT_NUMBERS, "other": NOT_NUMBERS},
        n_bits=[*COUNTS, 9],
    ),
    **calls_of(
        "HammingPrecisionRecallDisplay",
        {"precision": NUMBERS, "recall": NUMBERS, "points": [0, 1]},
        {
            **dict.fromkeys(("precision", "recall", "points"), NOT_NUMBERS),
            "mean_average_precision": [-0.1, 1.1],
        },
        by=["bit", 1],
        k=COUNTS,
        n_bits=[*COUNTS, 9],
    ),
    **calls_of(
        "PrecisionAtKDisplay",
        {"k": [1, 2], "precision": NUMBERS},
        {"k": NOT_NUMBERS, "precision": NOT_NUMBERS},
        log=FLAGS,
    ),
    **calls_of(
        "PrecisionAtRadiusDisplay",
        {"n_bits": [4, 8], "precision": NUMBERS, "empty_share": NUMBERS},
        dict.fromkeys(("n_bits", "precision", "empty_share"), NOT_NUMBERS),
        radius=[-1, 2.0, True],
    ),
}
LISTS = {name: [RETRIEVAL[name]] for name in ("query_codes", "database_codes")}
CURVES["PrecisionAtRadiusDisplay.from_predictions"] = Call(
    lambda: plots.PrecisionAtRadiusDisplay.from_predictions,
    {**RETRIEVAL, **LISTS},
    {
        **WRONG_RETRIEVAL,
        "query_codes": [CODES, [], [NOT_CODES[:5]], [CODES[0]]],
        "database_codes": [CODES, [], [NOT_CODES[5:]], [CODES[0]]],
        "n_bits": [8, [8, 8], [9], [True], ["8"]],
        "radius": [-1, 2.0, True],
        **DRAWN,
    },
)

PERPLEXITIES = [0, -1, NAN, 24, "many"]
EMBEDDING = np.arange(48.0).reshape(24, 2)
NOT_POINTS = [EMBEDDING[0], EMBEDDING[:, :1], np.full((24, 2), "a")]
HISTORY = [{"epoch": 1, "loss": 2.0}, {"epoch": 2, "loss": 1.0}]
NO_HISTORIES = [[], [{"loss": 1.0}], 3, {"epoch": 1}, ["epoch"]]
HITS = IMAGES[:6].reshape(2, 3, 3, 4)
DISTANCES = np.array([[0, 1, 2]] * 2)
QUERIES = [[24], [-1], [0.5], [], [[1]], "all", 3]
SHAPES = [(4, 4), (0, 12), (3,), ("3", "4"), (3, True), 12, "34"]
ARRAYS_OF_HITS = ("query_images", "hit_images", "distances", "relevant")

OTHERS = {
    "BitStatisticsDisplay": Call(
        lambda: plots.BitStatisticsDisplay,
        {"statistics": code_statistics(CODES)},
        {"statistics": [{}, CODES], "name": NAMES},
    ),
    "BitStatisticsDisplay.from_estimator": Call(
        lambda: plots.BitStatisticsDisplay.from_estimator,
        {"estimator": fitted("LSH"), "X": X},
        {**NEW_X, "estimator": ESTIMATOR["estimator"], "name": NAMES},
    ),
    "BitStatisticsDisplay.from_predictions": Call(
        lambda: plots.BitStatisticsDisplay.from_predictions,
        {"codes": CODES},
        {
            "codes": [NOT_CODES, CODES[:0]],
            "packed": FLAGS,
            "n_bits": [*COUNTS, 7],
            "name": NAMES,
        },
    ),
    "BitStatisticsDisplay.plot": Call(
        lambda: plots.BitStatisticsDisplay.from_predictions(CODES).plot,
        {},
        {"ax": [*AXES, [1, 2], [plt]], "name": NAMES, "im_kw": [[], "cmap"]},
    ),
    "CodeEmbeddingDisplay": Call(
        lambda: plots.CodeEmbeddingDisplay,
        {"embedding": EMBEDDING, "y": Y},
        {"embedding": NOT_POINTS, **LABELS, "name": NAMES},
    ),
    "CodeEmbeddingDisplay.from_estimator": Call(
        lambda: plots.CodeEmbeddingDisplay.from_estimator,
        {"estimator": fitted("LSH"), "X": X, "y": Y, "perplexity": 3},
        {
            **NEW_X,
            **LABELS,
            **DRAWN,
            "estimator": ESTIMATOR["estimator"],
            "perplexity": PERPLEXITIES,
        },
    ),
    "CodeEmbeddingDisplay.from_predictions": Call(
        lambda: plots.CodeEmbeddingDisplay.from_predictions,
        {"codes": CODES, "y": Y, "perplexity": 3},
        {
            **LABELS,
            **DRAWN,
            "codes": [NOT_CODES, CODES[0]],
            "packed": FLAGS,
            "perplexity": PERPLEXITIES,
        },
    ),
    "CodeEmbeddingDisplay.plot": Call(
        lambda: plots.CodeEmbeddingDisplay(EMBEDDING, Y).plot, {}, DRAWN
    ),
    "TrainingCurveDisplay": Call(
        lambda: plots.TrainingCurveDisplay,
        {"history": HISTORY},
        {"history": NO_HISTORIES, "name": NAMES},
    ),
    "TrainingCurveDisplay.from_estimator": Call(
        lambda: plots.TrainingCurveDisplay.from_estimator,
        {"estimator": fitted("OrthoHash")},
        {"estimator": [3, fitted("LSH")], "name": NAMES},
    ),
    "TrainingCurveDisplay.from_history": Call(
        lambda: plots.TrainingCurveDisplay.from_history,
        {"history": HISTORY},
        {"history": NO_HISTORIES, "name": NAMES},
    ),
    "TrainingCurveDisplay.plot": Call(
        lambda: plots.TrainingCurveDisplay(HISTORY).plot,
        {},
        {
            "ax": [*AXES, [1], [plt, plt]],
            "quantities": ["loss", [], ["map"], [3], 3],
            "name": NAMES,
        },
    ),
    "RetrievedImagesDisplay": Call(
        lambda: plots.RetrievedImagesDisplay,
        {"query_images": IMAGES[:2], "hit_images": HITS, "distances": DISTANCES},
        {
            **{name: [3, "images", [1, 2]] for name in ARRAYS_OF_HITS},
            "tied_beyond": [3, [True], [[True, True]]],
            "query_labels": [3, ["one"]],
            "metric": [3, None],
            "name": NAMES,
        },
    ),
    "RetrievedImagesDisplay.from_estimator": Call(
        lambda: plots.RetrievedImagesDisplay.from_estimator,
        {"estimator": fitted("LSH"), "X": X, "images": IMAGES, "k": 3},
        {
            **NEW_X,
            **ESTIMATOR,
            **DRAWN,
            "y": [A_LABEL_TOO_FEW],
            "images": [IMAGES[1:], 3, "images", IMAGES.astype(str)],
            "database_images": [IMAGES[1:], 3, "images", IMAGES.astype(str)],
            "image_shape": SHAPES,
            "queries": QUERIES,
            "k": [*COUNTS, 24],
        },
    ),
    "RetrievedImagesDisplay.from_predictions": Call(
        lambda: plots.RetrievedImagesDisplay.from_predictions,
        {**RETRIEVAL, "images": IMAGES[:5], "database_images": IMAGES[5:], "k": 3},
        {
            **{n: WRONG_RETRIEVAL[n] for n in WRONG_RETRIEVAL if n != "sample_weight"},
            **DRAWN,
            "images": [IMAGES, 3, "images", None, IMAGES[:5].astype(str)],
            "database_images": [IMAGES, 3, "images", None, IMAGES[5:].astype(str)],
            "image_shape": SHAPES,
            "queries": QUERIES,
            "k": [*COUNTS, 24],
        },
    ),
    "RetrievedImagesDisplay.plot": Call(
        lambda: plots.RetrievedImagesDisplay(IMAGES[:2], HITS, DISTANCES).plot,
        {},
        DRAWN,
    ),
}
DISPLAYS = {**CURVES, **OTHERS}
