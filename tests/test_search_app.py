import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits

from sklhash import ITQ, LSH, HammingNeighbors, OrthoHash
from sklhash.metrics import mean_average_precision_score

APP = Path(__file__).parents[1] / "examples" / "search_app.py"
CHROMIUM = shutil.which("chromium")
CHROMIUM_OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SECONDS = 120  # that a step may take on a busy machine

pytest.importorskip("streamlit")
Image = pytest.importorskip("PIL.Image")


@pytest.fixture(scope="module")
def app():
    spec = importlib.util.spec_from_file_location("search_app", APP)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def digits(app):
    return app.digits()


def enlarged(image, factor=16):
    return Image.fromarray(np.kron(image, np.ones((factor, factor), dtype=np.uint8)))


def test_the_digits_are_those_of_scikit_learn_each_in_the_database_or_a_query(digits):
    X, y = load_digits(return_X_y=True)
    assert np.array_equal(digits.features, X)
    assert np.array_equal(digits.labels, y.astype(str))
    rows = np.concatenate([digits.database, digits.query])
    assert np.array_equal(np.sort(rows), np.arange(len(X)))


def unpacked_codes(collection, hasher):
    """Return all images' bits by such a hasher that has learnt from the database."""
    hasher = clone(hasher).set_params(packed=False)
    return hasher.fit(collection.features[collection.database]).transform(
        collection.features
    )


@pytest.mark.parametrize("method", [ITQ, LSH])
def test_hits_are_the_nearest_by_brute_force_equal_ones_in_order(app, digits, method):
    hasher = method(20, packed=True, random_state=0)
    codes = unpacked_codes(digits, hasher)
    index = app.Index(digits, hasher)
    for row in digits.query[:20]:
        hits = index.search(digits.features[row], n_neighbors=30)
        distances = (codes[digits.database] != codes[row]).sum(axis=1)
        nearest = np.argsort(distances, kind="stable")[:30]
        assert np.array_equal(hits.rows, digits.database[nearest])
        assert np.array_equal(hits.distances, distances[nearest])
        assert hits.encode_ms > 0
        assert hits.search_ms > 0


def test_the_map_shown_is_that_of_all_queries_with_expected_ties(app, digits):
    hasher = LSH(16, packed=True, random_state=0)
    codes = unpacked_codes(digits, hasher)
    parts = digits.query, digits.database
    found = [codes[part] for part in parts] + [digits.labels[part] for part in parts]
    expected = mean_average_precision_score(*found, ties="expected")
    assert app.Index(digits, hasher).score == pytest.approx(expected, abs=1e-12)


def test_a_picture_shrinks_to_its_middle_square_and_back_to_an_image(digits):
    image = digits.images[3]
    picture = Image.new("RGB", (200, 128), "red")
    picture.paste(enlarged(image).convert("RGB"), (36, 0))
    shrunk = digits.shrink(picture)
    assert np.array_equal(shrunk, image)
    assert np.array_equal(digits.features_of(shrunk[None])[0], digits.features[3])


def test_images_of_cifar10_get_their_features_whether_stored_or_uploaded(
    app, tmp_path, monkeypatch
):
    rng = np.random.default_rng(0)
    images = rng.integers(256, size=(12, 32, 32, 3), dtype=np.uint8)
    features = images.mean(axis=(1, 2)) / 16
    mean, components = features.mean(axis=0), np.eye(3, dtype=np.float32)[:2]
    order = rng.permutation(12)

    class Extractor:
        def fit_transform(self, images):
            return images.mean(axis=(1, 2)) / 16

    folder = tmp_path / "cifar10_images"
    folder.mkdir()
    np.savez(
        folder / "cifar10_images_7k.npz",
        images=images,
        y=np.arange(12) % 2,
        class_names=["cat", "dog"],
        feature_row=np.argsort(order),
        database=np.arange(8),
        query=np.arange(8, 12),
    )
    folder = tmp_path / "cifar10_efficientnet_lite2"
    folder.mkdir()
    np.savez(
        folder / "cifar10_efficientnet_lite2_pca512.npz",
        X=((features - mean) @ components.T)[order].astype(np.float16),
        pca_mean=mean,
        pca_components=components,
    )
    monkeypatch.setattr(app, "efficientnet_lite2", Extractor)
    collection = app.cifar10(tmp_path)
    assert collection.features.shape == (12, 2)
    assert np.allclose(collection.features, collection.features_of(images), atol=1e-3)
    assert collection.labels[:3].tolist() == ["cat", "dog", "cat"]
    uploaded = collection.shrink(Image.fromarray(images[5]).resize((320, 320), 0))
    assert np.array_equal(uploaded, images[5])


@contextmanager
def served(folder):
    """Run the app on a free port of this machine, and give its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = {
        "server.address": "127.0.0.1",
        "server.port": port,
        "server.headless": "true",
        "browser.gatherUsageStats": "false",
    }
    command = [sys.executable, "-m", "streamlit", "run", str(APP)]
    command += [f"--{name}={value}" for name, value in options.items()]
    # trained with as many threads as here, codes are the same to the last bit
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    log = folder / "log.txt"
    with (
        log.open("w") as file,
        subprocess.Popen(
            command, cwd=folder, env=environment, stdout=file, stderr=subprocess.STDOUT
        ) as server,
    ):
        try:
            wait_until_it_answers(port, server, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.kill()


def wait_until_it_answers(port, server, log):
    for _ in range(4 * SECONDS):
        with suppress(OSError):
            return socket.create_connection(("127.0.0.1", port), timeout=5).close()
        with suppress(subprocess.TimeoutExpired):
            server.wait(0.25)
            break
    raise AssertionError(f"no server:\n{log.read_text()}")


@pytest.fixture
def page():
    """A page of a fresh Chromium that has only this machine to talk to."""
    if CHROMIUM is None and not os.environ.get("CI"):
        pytest.skip("needs chromium")
    from playwright.sync_api import expect, sync_playwright

    refused = []

    def only_here(route):
        if urlsplit(route.request.url).hostname == "127.0.0.1":
            route.continue_()
        else:
            refused.append(route.request.url)
            route.abort()

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=CHROMIUM_OPTIONS
        )
        page = browser.new_page()
        page.set_default_timeout(1000 * SECONDS)
        expect.set_options(timeout=1000 * SECONDS)
        page.route("**/*", only_here)
        yield page
        browser.close()
    assert refused == []


def searched_without_the_app(collection, n_bits):
    """Return what gives classes and distances of a row's ten nearest, and the mAP."""
    X, y = collection.features, collection.labels
    database, query = collection.database, collection.query
    hasher = OrthoHash(n_bits, random_state=0).fit(X[database], y[database])
    search = HammingNeighbors().fit(hasher.transform(X[database]), y[database])
    score = search.score(hasher.transform(X[query]), y[query])

    def nearest(row):
        codes = hasher.transform(X[[row]])
        distances, indices = search.kneighbors(codes, n_neighbors=10)
        return y[database][indices[0]], distances[0]

    return nearest, score


def captions(labels, distances, query_label=None):
    """Return patterns of what is to stand below each neighbour."""
    marks = np.where(labels == query_label, "✓ ", "✗ ")
    if query_label is None:
        marks = [""] * len(labels)
    return [
        re.compile(rf"^{mark}{label}\s{bits} bits?$")
        for mark, label, bits in zip(marks, labels, distances, strict=True)
    ]


def test_what_is_clicked_chosen_or_uploaded_in_a_browser_is_searched_for(
    digits, page, tmp_path
):
    from playwright.sync_api import expect

    numbers = page.get_by_test_id("stMetric")

    def shows(captions, score):
        hits = page.locator(".hits figcaption")
        expect(hits).to_have_text(captions, use_inner_text=True)
        expect(numbers.filter(has_text="mAP")).to_contain_text(f"{score:.3f}")
        expect(numbers.filter(has_text=re.compile(r"\d ms"))).to_have_count(2)

    first, hard, uploaded = digits.query[[0, 9, 40]]
    with served(tmp_path) as url:
        page.goto(url)
        nearest, score = searched_without_the_app(digits, 32)
        at_first = captions(*nearest(first), digits.labels[first])
        shows(at_first, score)

        page.locator(".st-key-queries button").nth(9).click()
        clicked = captions(*nearest(hard), digits.labels[hard])
        assert clicked != at_first
        shows(clicked, score)

        page.get_by_label("n_bits").click()
        page.get_by_role("option", name="16").click()
        nearest, score = searched_without_the_app(digits, 16)
        with_fewer_bits = captions(*nearest(hard), digits.labels[hard])
        assert with_fewer_bits != clicked
        shows(with_fewer_bits, score)

        page.get_by_text("Upload a picture").click()
        file = BytesIO()
        enlarged(digits.images[uploaded]).save(file, "PNG")
        page.locator("input[type=file]").set_input_files(
            {"name": "mine.png", "mimeType": "image/png", "buffer": file.getvalue()}
        )
        shows(captions(*nearest(uploaded)), score)
