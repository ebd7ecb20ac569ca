"""CNNH: codes that factorise the similarity matrix, and a network that learns them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import check_is_fitted
from torch import Tensor
from torch.nn import functional as F

from sklhash._validation import Interval
from sklhash.hashers.factorization import LabelSets, PairEntries, Similarity, factorize
from sklhash.hashers.loss import HashLoss
from sklhash.hashers.pairwise import PairwiseHasher
from sklhash.pairs import Pairs
from sklhash.targets import Targets
from sklhash.training.augment import FeatureAugmentation, GaussianNoise

__all__ = ["CNNH"]


class CNNHLoss(HashLoss):
    """Distance of each bit to a code found before the training.

    Parameters
    ----------
    n_sweeps, output_loss
        As for :class:`CNNH`.
    """

    target_codes: Tensor
    factorization_error: Tensor

    _shapes: ClassVar = {
        "target_codes": ("n_rows", "n_bits"),
        "factorization_error": ("n_errors",),
    }

    def __init__(self, *, n_sweeps: int = 10, output_loss: str = "bce") -> None:
        super().__init__()
        self.n_sweeps = n_sweeps
        self.output_loss = output_loss
        self.register_buffer("target_codes", torch.empty(0, dtype=torch.uint8))
        self.register_buffer("factorization_error", torch.empty(0))

    def on_fit_begin(
        self, targets: Targets | Pairs, n_bits: int, generator: torch.Generator
    ) -> None:
        """Factorise the similarity of the rows into target codes."""
        seed = torch.randint(2**62, (), generator=generator)
        rng = np.random.default_rng(int(seed))
        codes, errors = factorize(_similarity(targets), n_bits, self.n_sweeps, rng)
        self.target_codes = torch.from_numpy((codes > 0).astype(np.uint8))
        self.factorization_error = torch.from_numpy(errors).float()

    def forward(self, output: Tensor, y: Any, index: Tensor) -> Tensor:
        """Return the mean loss of a batch, over rows and bits."""
        target = self.target_codes[index].to(output.dtype)
        if self.output_loss == "bce":
            return F.binary_cross_entropy_with_logits(output, target)
        return F.mse_loss(output.tanh(), 2 * target - 1)


def _similarity(targets: Targets | Pairs) -> Similarity:
    if isinstance(targets, Pairs):
        return PairEntries(targets)
    return LabelSets(targets.labels)


class CNNH(PairwiseHasher):
    r"""Supervised hashing by factorising similarity, then learning the factor.

    Stage one looks at labels only. With :math:`S_{ij} = 1` for rows that share a label
    and :math:`-1` for others, it finds codes whose inner products match [1]_:

    .. math::
        \min_{H \in [-1, 1]^{n \times K}} f(H), \qquad
        f(H) = \sum_{ij} (K S_{ij} - h_i \cdot h_j)^2 .

    It visits the entries of :math:`H` one after the other, rows in random order, and
    moves each by a Newton step, cut so that the entry stays within :math:`[-1, 1]`.
    Along one entry :math:`f` changes by exactly
    :math:`f' \delta + f'' \delta^2 / 2 + 4 H_{ik} \delta^3 + \delta^4` with

    .. math::
        f' = 4 \left( \sum_j h_{jk} \, h_j \cdot h_i - K \sum_j S_{ij} h_{jk} \right),
        \qquad
        f'' = 4 \left( \sum_j h_{jk}^2 + h_{ik}^2 + |h_i|^2 - K \right),

    so that a step that would raise it can be told, and another is taken: half of it, to
    one of the bounds, or none. The error never rises.

    Stage two trains a network whose output :math:`u_i` is to have the signs of
    :math:`h_i`, each bit for itself:

    .. math::
        L = \frac{1}{K} \sum_k \log\left(1 + e^{-b_{ik} u_{ik}}\right), \qquad
        b_{ik} = \operatorname{sgn} h_{ik} .

    Parameters
    ----------
    n_bits : int, default=64
        Number of bits of a code.

    n_sweeps : int, default=10
        Number of times that stage one visits every entry.

    output_loss : {"bce", "squared"}, default="bce"
        What stage two minimises: the logistic loss above, which is the binary
        cross-entropy of each bit, or :math:`(\tanh u_{ik} - b_{ik})^2`, averaged over
        the bits. Which one the paper has could not be verified; both are ours.

    <shared parameters>

    Attributes
    ----------
    target_codes_ : ndarray of shape (n_rows, n_bits), dtype=uint8
        The bits that stage one found for each row trained on, in the order of `X`:
        all rows but those without a label, or those in no pair.

    factorization_error_ : ndarray of shape (n_sweeps + 1,), dtype=float32
        Mean of :math:`(S_{ij} - h_i \cdot h_j / K)^2` over the known entries of
        :math:`S` before the first sweep and after each. It never rises. For :math:`C`
        balanced classes it is at least :math:`(1 - 1/C) (1 - 1/(C - 1))^2`.

    classes_ : ndarray of shape (n_classes,)
        Class labels, or the numbers of the label columns if multi-label. Not there
        after a fit on pairs.

    history_ : list of dict
        One an epoch: "epoch", "loss" (mean over the rows), "lr" and "seconds".

    <shared attributes>

    See Also
    --------
    OrthoHash : Codes of classes that are drawn, not learnt.
    HashNet : Learns from pairs in one stage.

    Notes
    -----
    The n x n matrix is never formed, since rows with the same labels have the same row
    in it. Stage one holds :math:`H` and the sum of its rows over each label set, in
    float64: memory is O((n + G) K) beside the labels, for G different label sets, which
    are the classes if there is one label a row, and n of them at worst. A sweep takes
    O(n K (K + g)) steps, where g is the number of label sets that share a label with
    a row's own: 1 for classes, G at worst.

    With ``pairs`` the sum is over the given pairs, in both orders, and the diagonal,
    where :math:`S_{ii} = 1`. A pair that comes several times counts once there, with
    the mean of what is said of it. Where rows have fewer pairs than bits, many codes
    match them all, and most say little else: the more pairs a row, the better.

    The loss keeps a target for each row, so there is no `partial_fit`. The settings of
    the training were chosen on held-out parts of the training rows of four sets of
    features (CIFAR-10, Fashion-MNIST, 20 Newsgroups, Corel5K) at 32 bits. The paper
    trains a convolutional network on images; its variant with outputs for the classes,
    CNNH+, is not here.

    References
    ----------
    .. [1] R. Xia, Y. Pan, H. Lai, C. Liu and S. Yan. Supervised hashing for image
       retrieval via image representation learning. AAAI 2014.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import train_test_split
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklhash import CNNH, HammingNeighbors
    >>> X, X_query, y, y_query = train_test_split(
    ...     *load_digits(return_X_y=True), test_size=300, random_state=0)
    >>> hasher = CNNH(32, random_state=0)
    >>> search = make_pipeline(hasher, HammingNeighbors()).fit(X, y)
    >>> bool(search.score(X_query, y_query) > 0.9)
    True
    >>> bool((hasher.transform(X) == hasher.target_codes_).mean() > 0.95)
    True

    Pairs teach as well:

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> i = rng.permutation(len(X)).repeat(20)
    >>> j = (i + rng.integers(1, len(X), size=len(i))) % len(X)
    >>> hasher.fit(X, pairs=(i, j, y[i] == y[j])).transform(X_query).shape
    (300, 32)
    """

    n_sweeps: int = 10
    output_loss: str = "bce"
    hidden_layer_sizes: Sequence[int] = (1024,)
    augment: str | FeatureAugmentation | Callable[[Tensor], Tensor] | None = (
        GaussianNoise(0.7)
    )
    max_epochs: int = 20
    lr: float = 1e-3
    weight_decay: float = 1e-3
    lr_schedule: str | Callable[[int, int], float] | None = "cosine"

    _supports_partial_fit: ClassVar[bool] = False

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **PairwiseHasher._parameter_constraints,
        "n_sweeps": [Interval(Integral, 1, None, closed="left")],
        "output_loss": [StrOptions({"bce", "squared"})],
    }

    def _make_loss(self, targets: Any) -> CNNHLoss:
        return CNNHLoss(n_sweeps=self.n_sweeps, output_loss=self.output_loss)

    @property
    def target_codes_(self) -> NDArray[np.uint8]:
        """The codes that the factorisation found, (n_rows, n_bits)."""
        check_is_fitted(self)
        return self.net_.criterion_.target_codes.cpu().numpy()

    @property
    def factorization_error_(self) -> NDArray[np.float32]:
        """Error of the factorisation before and after each sweep, (n_sweeps + 1,)."""
        check_is_fitted(self)
        return self.net_.criterion_.factorization_error.cpu().numpy()
