"""What a file might say that it must not: changes of a saved one, by their kind.

Each takes a :class:`~tests.persistence.forgery.Forgery` and changes it in place.
"""

import numpy as np

from tests.persistence.changes import (
    ending,
    fitted,
    named,
    parameters,
    set_array,
    step,
    with_extra_array,
    without,
)
from tests.persistence.network_attacks import NETWORK_ATTACKS

_IMPORTLIB = "torch.nn.functional.importlib"


def _swapped_arrays(forgery):
    a, b = (ending(forgery, name) for name in ("components_", "center_"))
    forgery.arrays[a], forgery.arrays[b] = forgery.arrays[b], forgery.arrays[a]


def _lost_and_unread_state(forgery):
    fitted(forgery).clear()
    forgery.arrays.clear()


def _another_known_class(forgery):
    forgery.model["class"] = "sklhash.PCAH"
    parameters(forgery).pop("center")


def _no_anchors(forgery):
    for name, array in forgery.arrays.items():
        if name.endswith(("_anchors", "_anchor_squares", "kernel_mean_")):
            forgery.arrays[name] = array[:0]
    for name, shape in (("projection_", (0, 10**12)), ("coef_", (10**12, 0))):
        forgery.arrays[ending(forgery, name)] = np.zeros(shape, dtype=np.float32)
    set_array("classes_.ids", lambda a: a[:0])(forgery)
    fitted(forgery)["n_bits_"] = 10**12


def _codes_that_are_too_wide(forgery):
    words = np.zeros((1017, 512), dtype=np.uint64)
    forgery.arrays[ending(forgery, "planes")] = words
    fitted(forgery).update(n_bytes=8 * 1017, n_features_in_=8 * 1017)


def _pipelines_in_each_other(forgery):
    model = forgery.description["model"]
    for _ in range(40):
        steps = [{"tuple": ["inner", model]}]
        outer = {"class": "sklearn.pipeline.Pipeline", "parameters": {"steps": steps}}
        model = {"estimator": {**outer, "fitted": {}, "output": None}}
    forgery.description["model"] = model


def _one_string_as_many_labels(forgery):
    forgery.arrays["text"] = np.full(10**6, ord("x"), dtype=np.uint8)
    forgery.arrays["ends"] = np.array([10**6])
    forgery.arrays["ids"] = np.zeros(10**6, dtype=np.uint8)
    parts = {name: name for name in ("text", "ends", "ids")}
    fitted(forgery)["x_"] = {"text": {"kind": "T", **parts}}


# Kind of estimator, what is changed, what the error has to say.
ATTACKS = {
    "pipelines in each other, which are asked 4**40 times": (
        *("LSH", _pipelines_in_each_other),
        "the innermost of more than 8 estimators in each other",
    ),
    "keys of one hash": (
        "LSH",
        named(
            parameters,
            "random_state",
            {"dict": [[(2**61 - 1) * i, i] for i in range(1, 10**5)]},
        ),
        "keys were made to have the same hash",
    ),
    "a string that is a million labels": (
        *("LSH", _one_string_as_many_labels),
        "strings that would be held more than once",
    ),
    "a function of the system": (
        *("LSH", named(lambda f: f.model, "class", "os.system")),
        r"names 'os\.system', which is none of the classes that sklhash loads",
    ),
    "a name that clears the screen": (
        *("LSH", named(lambda f: f.model, "class", "x.\x1b[2J")),
        r"trusted=\[\\x1b\[2J\]",
    ),
    "a built-in function": (
        *("LSH", named(lambda f: f.model, "class", "builtins.eval")),
        r"'builtins\.eval', which is none",
    ),
    "a process": (
        *("LSH", named(lambda f: f.model, "class", "subprocess.Popen")),
        r"'subprocess\.Popen', which is none",
    ),
    "another class of scikit-learn": (
        *("LSH", named(lambda f: f.model, "class", "sklearn.linear_model.Ridge")),
        r"'sklearn\.linear_model\.Ridge', which is none",
    ),
    "an abstract class": (
        *("LSH", named(lambda f: f.model, "class", "sklhash.DeepHasher")),
        r"'sklhash\.DeepHasher', which is none",
    ),
    "a module for an estimator": (
        *("LSH", named(lambda f: f.model, "class", "torch.nn.Module")),
        r"'torch\.nn\.Module' where BaseEstimator is wanted",
    ),
    "no class": (
        *("LSH", named(lambda f: f.model, "class", 5)),
        r"5 in place of the name of a class",
    ),
    "another class of sklhash": ("LSH", _another_known_class, "PCAH has no fitted"),
    "a parameter that there is none of": (
        *("LSH", named(parameters, "n_bites", 5)),
        r"LSH has no parameters \['n_bites'\]",
    ),
    "a parameter of a wrong type": (
        *("LSH", named(parameters, "n_bits", "9")),
        "'n_bits' parameter of LSH must be an int",
    ),
    "a parameter out of range": (
        *("LSH", named(parameters, "n_bits", -9)),
        "'n_bits' parameter of LSH must be an int",
    ),
    "a fitted attribute that is missing": (
        *("LSH", without(fitted, "n_samples_seen_")),
        "LSH has to have the fitted attribute n_samples_seen_",
    ),
    "a fitted attribute that there is none of": (
        *("LSH", named(fitted, "transform", 5)),
        r"LSH has no fitted attributes \['transform'\]",
    ),
    "nothing fitted": ("LSH", _lost_and_unread_state, "LSH instance is not fitted yet"),
    "an array of another dtype": (
        *("LSH", set_array("components_", lambda a: a.astype("f8"))),
        "components_ of LSH must be an array of dtype f4, got float64",
    ),
    "an array of another shape": (
        *("LSH", set_array("components_", lambda a: a[:, :3])),
        r"center_ of LSH must be an array of shape \(4,\)|components_ of LSH must be",
    ),
    "an array of another rank": (
        *("LSH", set_array("components_", np.ravel)),
        r"components_ of LSH must be an array of shape \(9, 4\), got \(36,\)",
    ),
    "an array without rows": (
        *("LSH", set_array("components_", lambda a: a[:0])),
        r"components_ of LSH must be an array of shape \(9, 4\), got \(0, 4\)",
    ),
    "swapped arrays": ("LSH", _swapped_arrays, "components_ of LSH must be an array"),
    "an index of a direction that there is none of": (
        *("SpectralHashing", set_array("directions_", lambda a: a + 10**6)),
        "directions_ of SpectralHashing must be an array of indices below",
    ),
    "a negative index": (
        *("SpectralHashing", set_array("directions_", lambda a: a - 1)),
        "directions_ of SpectralHashing must be an array of indices below",
    ),
    "an array that there is none of": (
        *("LSH", named(fitted, "center_", {"array": "elsewhere"})),
        "no array 'elsewhere', which its description names",
    ),
    "an array that nothing names": (
        *("LSH", lambda f: f.arrays.update(more=np.zeros(8))),
        r"arrays that nothing names, \['more'\]",
    ),
    "an array named twice": (
        *("LSH", with_extra_array([{"objects": "x"}] * 2)),
        "names its array 'x' twice",
    ),
    "a kind of value that there is none of": (
        *("LSH", named(parameters, "random_state", {"pickle": "gASVAA=="})),
        "a value of an unknown kind, 'pickle'",
    ),
    "a value of two kinds": (
        *("LSH", named(parameters, "random_state", {"float": "1", "tuple": []})),
        "cannot be loaded",
    ),
    "a float that is none": (
        *("LSH", named(parameters, "random_state", {"float": "__import__('os')"})),
        "invalid hexadecimal",
    ),
    "a number of a dtype that holds objects": (
        *("LSH", named(parameters, "n_bits", {"scalar": ["O", 9]})),
        "9 for a number of dtype 'O'",
    ),
    "a number too large for its dtype": (
        *("LSH", named(parameters, "n_bits", {"scalar": ["float32", 1e300]})),
        "overflow",
    ),
    "a record that is an estimator": (
        *(
            "HashedNeighbors",
            named(
                parameters,
                "hasher",
                {"record": {"class": "sklhash.LSH", "fields": {"n_bits": "x"}}},
            ),
        ),
        r"fields of 'sklhash\.LSH', which has none",
    ),
    "an attribute of torch for a dtype": (
        *("LSH", named(fitted, "x_", {"dtype": "_dynamo"})),
        "a tensor of dtype '_dynamo'",
    ),
    "a function of torch's that is a module": (
        *("OrthoHash", named(parameters, "augment", {"named": _IMPORTLIB})),
        "importlib', which is none of the classes",
    ),
    "a table with a column that is no array": (
        "LSH",
        with_extra_array(
            {
                "frame": {
                    "library": "pandas",
                    "names": [*range(10**4)],
                    "columns": [{"array": "x"}] + [1] * (10**4 - 1),
                }
            }
        ),
        "columns are not all arrays",
    ),
    "a table of another library": (
        *(
            "LSH",
            named(
                fitted, "x_", {"frame": {"library": "os", "names": [], "columns": []}}
            ),
        ),
        "a table of 'os'",
    ),
    "text whose ends are out of order": (
        *("HammingNeighbors", set_array("y.ends", lambda a: a[::-1])),
        "ends are out of order",
    ),
    "text of an id that there is none of": (
        *("HammingNeighbors", set_array("y.ids", lambda a: a + np.uint8(200))),
        "out of bounds",
    ),
    "a form of output that there is none of": (
        *("LSH", named(lambda f: f.model, "output", {"dict": {"transform": "os"}})),
        "unknown form of output",
    ),
    "a pipeline with a cache of pickles": (
        *("Pipeline", named(parameters, "memory", "/tmp")),
        "a cache for a Pipeline, '/tmp'",
    ),
    "a pipeline of something else": (
        *(
            "Pipeline",
            lambda f: parameters(f)["steps"][0].update(tuple=["standardscaler", 5]),
        ),
        "cannot be loaded",
    ),
    "a pipeline without steps": (
        *("Pipeline", named(parameters, "steps", [])),
        "pipeline is empty",
    ),
    "a scaler that has no scale": (
        *("Pipeline", step(0, "scale_", None)),
        "scale_ of StandardScaler is None",
    ),
    "a wrong number of features": (
        *("Pipeline", step(0, "n_features_in_", 7)),
        r"of StandardScaler must be an array of shape \(7,\), got \(6,\)",
    ),
    "places that hold nothing and may be found": (
        *("HammingNeighbors", set_array("codes.allowed", np.invert)),
        "do not fit together",
    ),
    "fewer places than codes": (
        *("compacted", set_array("planes", lambda a: a[:, :512][:, :0])),
        "do not fit together",
    ),
    "more codes than places": (
        *("HammingNeighbors", lambda f: fitted(f).update(n_stored=600, n_arrived=600)),
        "do not fit together",
    ),
    "more codes than there were": (
        *("compacted", named(fitted, "n_arrived", 1)),
        "do not fit together",
    ),
    "rows out of order": (
        *("compacted", set_array("codes.rows", lambda a: a[::-1])),
        "rows are not in order",
    ),
    "rows that never came": (
        *("compacted", set_array("codes.rows", lambda a: a + 10**9)),
        "rows are not in order",
    ),
    "rows before the first": (
        *("compacted", set_array("codes.rows", lambda a: a - 10**9)),
        "rows are not in order",
    ),
    "rows of another dtype": (
        *("compacted", set_array("codes.rows", lambda a: a.astype("u8"))),
        "rows of it must be an array of dtype i8, got uint64",
    ),
    "labels of other codes": (
        *("compacted", named(fitted, "n_arrived", 901)),
        "900 labels for 901 codes",
    ),
    "a sparse index that points elsewhere": (
        *("compacted", set_array("y.indices", lambda a: a + 2**20)),
        "cannot be loaded",
    ),
    "a negative sparse index": (
        *("compacted", set_array("y.indices", lambda a: a - 2**20)),
        "cannot be loaded",
    ),
    "sparse rows that end too late": (
        *("compacted", set_array("y.indptr", lambda a: a * 1000)),
        "cannot be loaded",
    ),
    "codes wider than distances": (
        *("HammingNeighbors", _codes_that_are_too_wide),
        "65000 bits",
    ),
    "codes of another width than the hasher's": (
        *("HashedNeighbors", set_array("_probe", lambda a: a[:, :5])),
        "cannot be loaded",
    ),
    "a hasher that has changed": (
        *("HashedNeighbors", set_array("hasher_.components_", np.negative)),
        "hasher has changed",
    ),
    "a distance that there is none of": (
        *("HashedNeighbors", named(fitted, "metric_", "jaccard")),
        "metric_ of HashedNeighbors must be one of",
    ),
    "vectors of another width": (
        *("reranked", set_array("vectors.0", lambda a: a[:, :5])),
        "vectors that are no rows for its hasher",
    ),
    "fewer vectors than rows": (
        *("reranked", set_array("vectors.0", lambda a: a[:39])),
        "39 vectors for 40 rows",
    ),
    "no anchors": ("SDH", _no_anchors, "at least one row"),
    **NETWORK_ATTACKS,
    "a model that is no estimator": (
        *("LSH", lambda f: f.description.update(model=5)),
        "cannot be loaded",
    ),
    "a model that is a class": (
        *("LSH", lambda f: f.description.update(model={"named": "sklhash.LSH"})),
        "cannot be loaded",
    ),
    "no model": ("LSH", lambda f: f.description.pop("model"), "KeyError"),
    **{
        f"format {number!r}": (
            *("LSH", named(lambda f: f.description, "format", number)),
            r"its format is .*, and this version of sklhash reads 1",
        )
        for number in (0, 2, -1, 10**30, 1.0, "1", True, None, [1])
    },
    "no format": ("LSH", without(lambda f: f.description, "format"), "format is None"),
}
