"""HashNet: weighted pairwise likelihood, and a tanh that sharpens to a sign."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any, ClassVar

import torch
from sklearn.utils._param_validation import StrOptions
from torch import Tensor
from torch.nn import functional as F

from sklhash._validation import Interval
from sklhash.hashers.loss import HashLoss
from sklhash.hashers.pairwise import PairwiseHasher, pairs_of_batch
from sklhash.pairs import Pairs
from sklhash.targets import Targets
from sklhash.training.augment import FeatureAugmentation, GaussianNoise

__all__ = ["HashNet"]

GROWTH = 0.005  # of beta^2 in a step, as in both official codes
N_STAGES = 10


class HashNetLoss(HashLoss):
    """Weighted pairwise logistic loss of tanh(beta * output).

    Parameters
    ----------
    alpha, class_weight, graded, continuation, continuation_unit
        As for :class:`HashNet`.
    """

    n_steps: Tensor
    beta: Tensor
    gap: Tensor

    _shapes: ClassVar = {"n_steps": (), "beta": (), "gap": (2,)}

    def __init__(
        self,
        *,
        alpha: str | float = "auto",
        class_weight: str | float | None = "balanced",
        graded: bool = False,
        continuation: str | Callable[[int, int], float] = "sqrt",
        continuation_unit: str = "epoch",
    ) -> None:
        super().__init__()
        self.alpha = alpha
        self.class_weight = class_weight
        self.graded = graded
        self.continuation = continuation
        self.continuation_unit = continuation_unit
        self.register_buffer("n_steps", torch.zeros((), dtype=torch.int64))
        self.register_buffer("beta", torch.ones(()))
        self.register_buffer("gap", torch.zeros(2))

    def on_fit_begin(
        self, targets: Targets | Pairs, n_bits: int, generator: torch.Generator
    ) -> None:
        """Settle the scale of the inner products."""
        self._alpha = 10 / n_bits if self.alpha == "auto" else float(self.alpha)

    def on_epoch_begin(self, epoch: int, max_epochs: int) -> None:
        """Sharpen the tanh, and begin to measure its distance from a sign."""
        self._progress = epoch, max_epochs
        self._sharpen()
        self.gap.zero_()

    def forward(self, output: Tensor, y: Any, index: Tensor) -> Tensor:
        """Return the weighted mean loss of the pairs in a batch."""
        if self.continuation_unit == "step":
            self._sharpen()
        codes = torch.tanh(self.beta * output)
        self._measure(codes.detach())
        self.n_steps += 1
        first, second, similarity = pairs_of_batch(y, graded=self.graded)
        theta = self._alpha * (codes @ codes.T)[first, second]
        similar = similarity > 0
        losses = F.softplus(theta) - similar * theta
        losses = losses * torch.where(similar, similarity, 1.0)
        if self.class_weight == "balanced":
            return _mean(losses, similar) + _mean(losses, ~similar)
        weight = 1.0 if self.class_weight is None else float(self.class_weight)
        weights = torch.where(similar, weight, 1.0)
        return (weights * losses).sum() / weights.sum()

    def log(self) -> dict[str, float | Tensor]:
        """Return beta and the mean of ``|tanh(beta * output) - sign(output)|``."""
        total, count = self.gap
        return {"beta": self.beta, "quantization_gap": total / count}

    def _sharpen(self) -> None:
        epoch, max_epochs = self._progress
        if callable(self.continuation):
            self.beta.fill_(_checked_beta(self.continuation(epoch, max_epochs)))
        elif self.continuation == "sqrt":
            self.beta.copy_(torch.sqrt(1 + GROWTH * self.n_steps))
        elif self.continuation == "staged":
            self.beta.fill_(1 + min(N_STAGES * epoch // max_epochs, N_STAGES - 1))

    def _measure(self, codes: Tensor) -> None:
        self.gap[0] += (1 - codes.abs()).sum()
        self.gap[1] += codes.numel()


def _checked_beta(beta: Any) -> float:
    if not (isinstance(beta, Real) and 0 < float(beta) < math.inf):
        raise ValueError(
            f"continuation must return a positive finite number, got {beta!r}."
        )
    return float(beta)


def _mean(losses: Tensor, chosen: Tensor) -> Tensor:
    """Return the mean over the chosen losses, 0 if there are none."""
    return (losses * chosen).sum() / chosen.sum().clamp(min=1)


class HashNet(PairwiseHasher):
    r"""Deep hashing by continuation, from labels or from pairs of rows.

    The head turns a row into :math:`z` and the loss sees
    :math:`h = \tanh(\beta z)`, where :math:`\beta` grows during the training, so
    that :math:`h` comes close to the code :math:`\operatorname{sgn}(z)`. For the pairs
    of different rows in a batch, with :math:`s_{ij} = 1` if they are similar and 0 if
    not, it is a weighted logistic loss of their inner products [1]_:

    .. math::
        \Theta_{ij} = \alpha\, h_i \cdot h_j, \qquad
        L = \sum_{ij} w_{ij} \left(\log(1 + e^{\Theta_{ij}})
            - s_{ij} \Theta_{ij}\right) .

    Similar pairs are few among many classes; balanced weights make `L` the mean over
    the similar pairs plus the mean over the dissimilar ones.

    Parameters
    ----------
    n_bits : int, default=64
        Number of bits of a code.

    alpha : float or "auto", default="auto"
        Scale :math:`\alpha` of the inner products, positive; "auto" is :math:`10 / K`,
        as in the official code, which bounds :math:`|\Theta|` by 10 at every width.

    class_weight : {"balanced"}, float or None, default="balanced"
        Weight of similar pairs against dissimilar ones. "balanced" is as above, within
        each batch. A positive number is the weight of a similar pair, where that of a
        dissimilar one is 1, and the loss is the weighted mean: the official PyTorch
        code's `class_num`. None is 1.

    graded : bool, default=False
        Whether the weight of a similar pair is also multiplied by the share of labels
        that the two rows have in common, :math:`|y_i \cap y_j| / |y_i \cup y_j|`
        (HashNet+C in the paper). Dissimilar pairs keep their weight. Pairs with a
        similarity between 0 and 1 are weighted by it in any case.

    continuation : {"sqrt", "staged", "constant"} or callable, default="sqrt"
        How :math:`\beta` grows. "sqrt" is :math:`\sqrt{1 + 0.005\, t}` after `t`
        steps of the optimizer, as in both official codes. "staged" goes from 1 to 10 in
        ten stages of equal length; the paper describes stages, these ones are ours.
        "constant" stays at 1. A callable is asked for
        ``continuation(epoch, max_epochs)``.

    continuation_unit : {"epoch", "step"}, default="epoch"
        Whether "sqrt" takes a new value each epoch or each step. The others change by
        the epoch.

    <shared parameters>

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels, or the numbers of the label columns if multi-label.
        Not there after a fit on pairs.

    history_ : list of dict
        One an epoch: "epoch", "loss" (mean over the rows), "lr", "seconds", "beta" (at
        the end of the epoch) and "quantization_gap", the mean of
        :math:`|\tanh(\beta z) - \operatorname{sgn}(z)|` over the epoch.

    <shared attributes>

    See Also
    --------
    DPSH : Pairwise likelihood against all rows, with a quantisation term.
    OrthoHash : Learns from classes by one fixed codeword each.

    Notes
    -----
    The hidden layer, the noise and the settings of the training were chosen on held-out
    parts of the training rows of four sets of features (CIFAR-10, Fashion-MNIST, 20
    Newsgroups, Corel5K), CIFAR-10 and 20 Newsgroups at 16, 32 and 64 bits and the
    others at 32. ``hidden_layer_sizes=()`` is the
    linear head of the paper.

    The loss depends on inner products only; it is the tanh that turns the real-valued
    code towards the corners of the cube.

    References
    ----------
    .. [1] Z. Cao, M. Long, J. Wang and P. S. Yu. HashNet: deep learning to hash by
       continuation. ICCV 2017, equations 1 to 7.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklhash import HashNet
    >>> X, y = load_digits(return_X_y=True)
    >>> hasher = HashNet(32, random_state=0).fit(X[:1000], y[:1000])
    >>> bool(hasher.score(X[1000:], y[1000:]) > 0.8)
    True

    Clicks instead of classes: row 0 goes with row 10, but not with row 1.

    >>> pairs = ([0, 0, 1, 1], [10, 1, 11, 10], [1, 0, 1, 0])
    >>> HashNet(32, random_state=0).fit(X, pairs=pairs).transform(X).shape
    (1797, 32)
    """

    alpha: str | float = "auto"
    class_weight: str | float | None = "balanced"
    graded: bool = False
    continuation: str | Callable[[int, int], float] = "sqrt"
    continuation_unit: str = "epoch"
    hidden_layer_sizes: Sequence[int] = (1024,)
    augment: str | FeatureAugmentation | Callable[[Tensor], Tensor] | None = (
        GaussianNoise(0.7)
    )
    max_epochs: int = 30
    weight_decay: float = 1e-3
    lr_schedule: str | Callable[[int, int], float] | None = "cosine"

    _graded_pairs: ClassVar[bool] = True

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **PairwiseHasher._parameter_constraints,
        "alpha": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither")],
        "class_weight": [
            StrOptions({"balanced"}),
            Interval(Real, 0, None, closed="neither"),
            None,
        ],
        "graded": ["boolean"],
        "continuation": [StrOptions({"sqrt", "staged", "constant"}), callable],
        "continuation_unit": [StrOptions({"epoch", "step"})],
    }

    def _make_loss(self, targets: Any) -> HashNetLoss:
        return HashNetLoss(
            alpha=self.alpha,
            class_weight=self.class_weight,
            graded=self.graded,
            continuation=self.continuation,
            continuation_unit=self.continuation_unit,
        )
