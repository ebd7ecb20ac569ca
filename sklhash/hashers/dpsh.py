"""DPSH: pairwise likelihood against a memory of all rows, and quantisation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from sklhash._validation import Interval
from sklhash.hashers.loss import HashLoss
from sklhash.hashers.pairwise import PairwiseHasher, pairs_of_batch
from sklhash.pairs import Pairs
from sklhash.targets import Targets
from sklhash.training.augment import FeatureAugmentation, GaussianNoise
from sklhash.training.straight_through import signs

__all__ = ["DPSH", "DPSHLoss"]


class DPSHLoss(HashLoss):
    """Pairwise logistic loss against a memory of all outputs, and quantisation.

    Parameters
    ----------
    eta : float, default=10.0
        Weight of the quantisation, as for :class:`DPSH`.
    """

    memory: Tensor
    labels: Tensor

    _shapes: ClassVar = {
        "memory": ("n_rows", "n_bits"),
        "labels": ("n_rows", "n_classes"),
    }

    def __init__(self, *, eta: float = 10.0) -> None:
        super().__init__()
        self.eta = eta
        self.register_buffer("memory", torch.empty(0))
        self.register_buffer("labels", torch.empty(0))

    def on_fit_begin(
        self, targets: Targets | Pairs, n_bits: int, generator: torch.Generator
    ) -> None:
        """Begin with a memory of zeros."""
        if isinstance(targets, Pairs):
            self._rows_per_pair = targets.n_rows / (2 * len(targets))
            return
        self._rows_per_pair = 1 / len(targets)
        self.labels = torch.from_numpy(targets.indicator())
        self.memory = torch.zeros(len(targets), n_bits)

    def forward(self, output: Tensor, y: Any, index: Tensor) -> Tensor:
        """Return the loss of a batch, for each ordered pair of rows."""
        if isinstance(y, Tensor):
            self._remember(output, index)
        codes = signs(output.detach())
        return self._pairwise(output, y) + self._quantization(output, codes)

    def _remember(self, output: Tensor, index: Tensor) -> None:
        self.memory[index] = output.detach().to(self.memory.dtype)

    def _pairwise(self, output: Tensor, y: Any) -> Tensor:
        if isinstance(y, Tensor):
            return self._against_memory(output, y)
        first, second, similarity = pairs_of_batch(y)
        theta = 0.5 * (output @ output.T)[first, second]
        return F.binary_cross_entropy_with_logits(theta, similarity)

    def _against_memory(self, output: Tensor, y: Tensor) -> Tensor:
        memory = self.memory.to(output.dtype)
        theta = 0.5 * output @ memory.T
        similar = (y @ self.labels.to(y.dtype).T > 0).to(output.dtype)
        sum_over_similar = 0.5 * (output * (similar @ memory)).sum()
        return (F.softplus(theta).sum() - sum_over_similar) / theta.numel()

    def _quantization(self, output: Tensor, codes: Tensor) -> Tensor:
        error = (output - codes).square().sum(dim=1).mean()
        return self.eta * self._rows_per_pair * error


class DPSH(PairwiseHasher):
    r"""Deep pairwise-supervised hashing, from labels or from pairs of rows.

    With :math:`u_i` the real-valued code of row :math:`i`,
    :math:`b_i = \operatorname{sgn}(u_i)`, and :math:`s_{ij} = 1` if rows are similar
    and 0 if not, the objective over all pairs is [1]_

    .. math::
        \Theta_{ij} = \tfrac{1}{2} u_i \cdot u_j, \qquad
        J = \sum_{ij} \left(\log(1 + e^{\Theta_{ij}}) - s_{ij} \Theta_{ij}\right)
            + \eta \sum_i |b_i - u_i|^2 .

    Each batch is compared with all :math:`N` rows, whose last outputs are kept in a
    memory, and its share of `J` is divided by the number of its pairs, :math:`n N`.

    Parameters
    ----------
    n_bits : int, default=64
        Number of bits of a code.

    eta : float, default=10.0
        Weight :math:`\eta` of the quantisation, at least 0. Since the first sum has
        :math:`N` terms a row and the second one, it weighs less in larger data sets.

    <shared parameters>

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels, or the numbers of the label columns if multi-label.
        Not there after a fit on pairs.

    history_ : list of dict
        One an epoch: "epoch", "loss" (mean over the rows), "lr", "seconds".

    <shared attributes>

    See Also
    --------
    DSDH : The same likelihood, with codes that a classifier reads.
    HashNet : Weighted pairs within the batch.

    Notes
    -----
    The hidden layer, the noise and the settings of the training were chosen on held-out
    parts of the training rows of four sets of features (CIFAR-10, Fashion-MNIST, 20
    Newsgroups, Corel5K) at 32 bits; scikit-learn's digits were looked at as well.
    ``hidden_layer_sizes=()`` is the linear head of the paper.

    The memory takes :math:`4 N (K + C)` bytes for :math:`C` classes, and an epoch
    :math:`N^2` pairs. Pairs that are given are all there is to compare: both rows of
    each are in the batch, and no memory is needed. As in the authors' PyTorch code
    outputs in the memory are constant, so a row's gradient of the first sum is half of
    that in the paper; halve `eta` to match the latter.

    References
    ----------
    .. [1] W.-J. Li, S. Wang and W.-C. Kang. Feature learning based deep supervised
       hashing with pairwise labels. IJCAI 2016, equation 3.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklhash import DPSH
    >>> X, y = load_digits(return_X_y=True)
    >>> hasher = DPSH(32, random_state=0).fit(X[:1000], y[:1000])
    >>> bool(hasher.score(X[1000:], y[1000:]) > 0.8)
    True
    """

    eta: float = 10.0
    hidden_layer_sizes: Sequence[int] = (1024,)
    augment: str | FeatureAugmentation | Callable[[Tensor], Tensor] | None = (
        GaussianNoise(0.5)
    )
    max_epochs: int = 40
    batch_size: int = 32
    lr_schedule: str | Callable[[int, int], float] | None = "cosine"

    _supports_partial_fit: ClassVar[bool] = False

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **PairwiseHasher._parameter_constraints,
        "eta": [Interval(Real, 0, None, closed="left")],
    }

    def _make_loss(self, targets: Any) -> DPSHLoss:
        return DPSHLoss(eta=self.eta)
