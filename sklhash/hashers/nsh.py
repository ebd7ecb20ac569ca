"""NSH: the codes sort the batch, and the latents learn from the order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import Any, ClassVar

import torch
from sklearn.utils._param_validation import StrOptions
from torch import Tensor
from torch.nn import functional as F

from sklhash._validation import Interval
from sklhash.hashers.contrastive import ContrastiveHasher
from sklhash.hashers.loss import HashLoss
from sklhash.targets import Targets
from sklhash.training.heads import HashHead, RowwiseLinear
from sklhash.training.straight_through import (
    signs,
    straight_through,
    straight_through_sign,
)

__all__ = ["NSH"]


class NSHHead(HashHead):
    """A head that gives latents beside the codes, in training only.

    Parameters
    ----------
    n_features, n_bits, hidden_layer_sizes
        As for :class:`~sklhash.training.heads.HashHead`.

    latent_size : int
        Width of the latents.
    """

    def __init__(
        self,
        n_features: int,
        n_bits: int,
        hidden_layer_sizes: Sequence[int] = (),
        *,
        latent_size: int,
    ) -> None:
        super().__init__(n_features, n_bits, hidden_layer_sizes)
        self.latent = RowwiseLinear(self.hash.in_features, latent_size)

    def forward(self, x: Tensor) -> Any:
        """Return real-valued codes, in training with latents: (n, n_bits), (n, dz)."""
        hidden = self.hidden(self.standardize(x))
        output = self.hash(hidden)
        return (output, self.latent(hidden)) if self.training else output


class NSHLoss(HashLoss):
    """Contrast of the latents that the codes rank high with the others.

    Parameters
    ----------
    n_positives, temperature, sort, sort_temperature, symmetric, detach_latents, \
            double_softmax, quantization_weight
        As for :class:`NSH`.
    """

    n_views = 2

    def __init__(
        self,
        *,
        n_positives: int = 2,
        temperature: float = 0.3,
        sort: str = "hard",
        sort_temperature: str | float = 0.1,
        symmetric: bool = False,
        detach_latents: bool = False,
        double_softmax: bool = False,
        quantization_weight: float = 1e-3,
    ) -> None:
        super().__init__()
        self.n_positives = n_positives
        self.temperature = temperature
        self.sort = sort
        self.sort_temperature = sort_temperature
        self.symmetric = symmetric
        self.detach_latents = detach_latents
        self.double_softmax = double_softmax
        self.quantization_weight = quantization_weight

    def on_fit_begin(
        self, targets: Targets, n_bits: int, generator: torch.Generator
    ) -> None:
        """Settle the temperature of the sort."""
        automatic = self.sort_temperature == "auto"
        self._sort_temperature = float(n_bits if automatic else self.sort_temperature)

    def forward(self, output: Any, y: Any, index: Tensor) -> Tensor:
        """Return the mean loss of a batch, from codes and latents of its two views."""
        outputs, latents = zip(*output, strict=True)
        squashed = [torch.tanh(u) for u in outputs]
        views = [
            (straight_through_sign(h), F.normalize(z, dim=1))
            for h, z in zip(squashed, latents, strict=True)
        ]
        loss = self._contrast(*views)
        if self.symmetric:
            loss = (loss + self._contrast(*reversed(views))) / 2
        if self.quantization_weight:
            squashed_rows = torch.cat(squashed)
            gaps = (signs(squashed_rows) - squashed_rows).square().sum(dim=1)
            loss = loss + self.quantization_weight * gaps.mean()
        return loss

    def _contrast(
        self, view: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]
    ) -> Tensor:
        """Sort one view by the codes of both, and compare it with the other view."""
        (codes, latents), (other_codes, anchors) = view, other
        if self.detach_latents:
            latents = latents.detach()
        similarity = codes @ other_codes.T / (2 * codes.shape[1]) + 0.5
        order = soft_sort(similarity, self._sort_temperature, hard=self.sort == "hard")
        cosine = cosine_to_sorted(anchors, order, latents)
        return sorted_nce(
            cosine,
            min(self.n_positives, len(cosine) - 1),
            self.temperature,
            double_softmax=self.double_softmax,
        )


def soft_sort(similarity: Tensor, temperature: float, *, hard: bool = False) -> Tensor:
    """Return the shares that the items have in each rank, the most similar first.

    Parameters
    ----------
    similarity : Tensor of shape (n, n)
        Similarity of each row to each item.

    temperature : float
        How far items share the ranks of others. Towards zero, each rank holds the
        items of one similarity in equal shares.

    hard : bool, default=False
        Whether to return the limit of zero, with the gradient at `temperature`.

    Returns
    -------
    order : Tensor of shape (n, n, n)
        Share of item k in rank j of row i; the sum over k is 1.
    """
    ranked = similarity.sort(dim=1, descending=True).values
    gaps = (ranked[:, :, None] - similarity[:, None, :]).abs()
    order = F.softmax(gaps / -temperature, dim=2)
    if not hard:
        return order
    tied = (gaps == 0).to(gaps.dtype)
    return straight_through(tied / tied.sum(dim=2, keepdim=True), order)


def cosine_to_sorted(anchors: Tensor, order: Tensor, latents: Tensor) -> Tensor:
    """Return the cosine between each anchor and the mean latent in each of its ranks.

    The mean latents themselves, of shape (n, n, dz), are never formed: their products
    and lengths follow from those of the latents.

    Parameters
    ----------
    anchors, latents : Tensor of shape (n, dz)
        Of length 1.

    order : Tensor of shape (n, n, n)
        As :func:`soft_sort` returns it.

    Returns
    -------
    cosine : Tensor of shape (n, n)
        Row i has that of anchor i to its rank j.
    """
    products = (order @ (anchors @ latents.T)[:, :, None]).squeeze(2)
    squares = (order * (order @ (latents @ latents.T))).sum(dim=2)
    return products * squares.clamp(min=1e-12).rsqrt()


def sorted_nce(
    cosine: Tensor,
    n_positives: int,
    temperature: float,
    *,
    double_softmax: bool = False,
) -> Tensor:
    """Return the mean cross-entropy of each of the first ranks against the last ones.

    Parameters
    ----------
    cosine : Tensor of shape (n, n)
        Cosine of each row's anchor to each rank.

    n_positives : int
        How many ranks, from the first, are positive; the others are negative.

    temperature : float
        What the cosines are divided by.

    double_softmax : bool, default=False
        Whether to take the cross-entropy of the softmax instead.
    """
    logits = cosine / temperature
    positive, negative = logits[:, :n_positives, None], logits[:, None, n_positives:]
    candidates = torch.cat([positive, negative.expand(-1, n_positives, -1)], dim=2)
    if double_softmax:
        candidates = candidates.softmax(dim=2)
    return -candidates.log_softmax(dim=2)[:, :, 0].mean()


class NSH(ContrastiveHasher):
    r"""Deep hashing without labels, by sorting.

    Two augmented views of the :math:`n` rows of a batch go through the head, which
    gives outputs :math:`u` of :math:`K` bits and, beside them, latents :math:`z` of
    length 1 that only the training needs. With :math:`h = \tanh u` and the signs
    :math:`b = \operatorname{sgn} h`, trained on straight through (the gradient for
    :math:`b` is handed to :math:`h`), the codes of both views sort the batch for each
    row, the most similar first; row :math:`i` of the second view then is to recognise,
    by latents, what stands in its first :math:`m` ranks among what stands behind
    them [1]_. With primes for the second view,

    .. math::
        S_{i k} &= \tfrac{1}{2} + b_i \cdot b_k^\prime / 2 K, \qquad
        P_{i j k} = \operatorname{softmax}_k
            \bigl(-|\operatorname{sort}(S_i)_j - S_{i k}| / \tau\bigr), \\
        c_{i j} &= \cos\bigl(z_i^\prime, \sum_k P_{i j k} z_k\bigr), \\
        L &= -\frac{1}{n m} \sum_i \sum_{p=1}^{m} \log \frac{e^{c_{i p} / t}}
            {e^{c_{i p} / t} + \sum_{j > m} e^{c_{i j} / t}}
            + \frac{\lambda}{2 n} \sum_i \bigl(|b_i - h_i|^2
            + |b_i^\prime - h_i^\prime|^2\bigr).

    There is no term for the two views of a row as such: whatever the codes rank first
    is taken for similar. So the features have to be good to start with; where
    something irrelevant dominates them, codes sharpen on that.

    Parameters
    ----------
    n_bits : int, default=64
        Number of bits of a code.

    n_positives : int, default=2
        Number :math:`m` of positive ranks; in a batch of no more rows, one less than
        it has.

    temperature : float, default=0.3
        Temperature :math:`t` of the contrast, positive.

    sort : {"hard", "soft"}, default="hard"
        Whether the latents go by ranks as they are or by the soft ranks :math:`P`. Hard
        ranks are the limit :math:`\tau \to 0`, where items of equal similarity, which
        are many, share their ranks evenly; their gradient is that of the soft ones.

    sort_temperature : float or "auto", default=0.1
        Temperature :math:`\tau` of the soft ranks, positive; "auto" is the number of
        bits, as in another implementation. The larger, the weaker the pull of the
        contrast on the codes beside that of the quantisation term.

    symmetric : bool, default=False
        Whether to take the mean with the same contrast of the views exchanged. Not in
        the paper.

    detach_latents : bool, default=False
        Whether the latents that are sorted are held constant.

    double_softmax : bool, default=False
        Whether the logits go through a softmax before the cross-entropy, which has one
        too. Other implementations do so; the contrast then stays above
        :math:`\log(e + n - m) - 1`.

    quantization_weight : float, default=0.001
        Weight :math:`\lambda` of the quantisation term, in which :math:`b` is held
        constant, at least 0.

    latent_size : int, default=256
        Width of the latents, 1024 in other implementations.

    <shared parameters>

    Attributes
    ----------
    history_ : list of dict
        One an epoch: "epoch", "loss" (mean over the rows), "lr" and "seconds".

    <shared attributes>

    See Also
    --------
    CIBHash : Compares the codes themselves.
    LSH : Random projections.

    Notes
    -----
    The features are centred and scaled by one number, so their common scale does not
    matter; features in different units want a `StandardScaler` before.

    Memory grows with the cube of `batch_size`, whatever `latent_size` is: the ranks of
    a batch take :math:`4 n^3` bytes, 0.5 MB for 50 rows and 67 MB for 256, and the
    gradients need some ten arrays of that size.

    The form of the quantisation term, the gradient straight through the sign, the
    gradient through the sorted latents and both temperatures are not from the paper's
    text but from other implementations of it, or ours. Those use :math:`\lambda = 1`
    with :math:`\tau` up to :math:`K` and a learning rate of 1e-5. Such settings suit
    classes that are nearly apart, as ``NSH(lr=1e-4, max_epochs=75, lr_schedule=None,
    sort_temperature="auto", quantization_weight=1.0)``, but on features of CIFAR-10 the
    quantisation term then outweighs the contrast, and codes are worse than those of a
    rotation of principal components. The settings here were chosen on held-out parts of
    the training rows of features of CIFAR-10, 20 Newsgroups and Fashion-MNIST at 32
    bits, by mAP, the linear head on CIFAR-10 alone: a hidden layer did much worse
    there. On 20 Newsgroups, where a batch has two or three rows of a class, codes stay
    behind that rotation.

    References
    ----------
    .. [1] J. Yu, Y. Shen, M. Wang, H. Zhang and P. H. S. Torr. Learning to hash
       naturally sorts. IJCAI 2022.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import train_test_split
    >>> from sklhash import LSH, NSH
    >>> X, X_test, _, y_test = train_test_split(
    ...     *load_digits(return_X_y=True), random_state=0)
    >>> hasher = NSH(32, random_state=0).fit(X)
    >>> baseline = LSH(32, random_state=0).fit(X)
    >>> bool(hasher.score(X_test, y_test) > baseline.score(X_test, y_test) + 0.05)
    True
    """

    n_positives: int = 2
    temperature: float = 0.3
    sort: str = "hard"
    sort_temperature: str | float = 0.1
    symmetric: bool = False
    detach_latents: bool = False
    double_softmax: bool = False
    quantization_weight: float = 1e-3
    latent_size: int = 256
    max_epochs: int = 20
    batch_size: int = 50
    lr: float = 3e-3
    lr_schedule: str | Callable[[int, int], float] | None = "cosine"

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **ContrastiveHasher._parameter_constraints,
        "n_positives": [Interval(Integral, 1, None, closed="left")],
        "temperature": [Interval(Real, 0, None, closed="neither")],
        "sort": [StrOptions({"hard", "soft"})],
        "sort_temperature": [
            StrOptions({"auto"}),
            Interval(Real, 0, None, closed="neither"),
        ],
        "symmetric": ["boolean"],
        "detach_latents": ["boolean"],
        "double_softmax": ["boolean"],
        "quantization_weight": [Interval(Real, 0, None, closed="left")],
        "latent_size": [Interval(Integral, 1, None, closed="left")],
    }

    def _make_loss(self, targets: Targets) -> NSHLoss:
        return NSHLoss(
            n_positives=self.n_positives,
            temperature=self.temperature,
            sort=self.sort,
            sort_temperature=self.sort_temperature,
            symmetric=self.symmetric,
            detach_latents=self.detach_latents,
            double_softmax=self.double_softmax,
            quantization_weight=self.quantization_weight,
        )

    def _make_head(self, n_features: int) -> NSHHead:
        return NSHHead(
            n_features,
            int(self.n_bits),
            self.hidden_layer_sizes,
            latent_size=self.latent_size,
        )
