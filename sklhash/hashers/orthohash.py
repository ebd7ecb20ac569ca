"""OrthoHash: cosine similarity to one fixed codeword a class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn
from torch.nn import functional as F

from sklhash._validation import Interval
from sklhash.hashers.codebooks import check_codebook, make_codebook
from sklhash.hashers.deep import DeepHasher
from sklhash.hashers.loss import HashLoss
from sklhash.targets import Targets
from sklhash.training.augment import FeatureAugmentation, GaussianNoise
from sklhash.training.backbones import hash_head_of
from sklhash.training.heads import HashHead

__all__ = ["OrthoHash"]


class OrthoHashLoss(HashLoss):
    """Margin softmax on the cosine between outputs and codewords.

    Parameters
    ----------
    margin, margin_type, scale, codebook, quantization_weight, quantization
        As for :class:`OrthoHash`.
    """

    codebook: Tensor

    _shapes: ClassVar = {"codebook": ("n_classes", "n_bits")}

    def __init__(
        self,
        *,
        margin: float = 0.2,
        margin_type: str = "cos",
        scale: str | float = "auto",
        codebook: str | ArrayLike = "bernoulli",
        quantization_weight: float = 0.0,
        quantization: str = "cs",
    ) -> None:
        super().__init__()
        self.margin = margin
        self.margin_type = margin_type
        self.scale = scale
        self.quantization_weight = quantization_weight
        self.quantization = quantization
        self._method = codebook
        self.register_buffer("codebook", torch.empty(0))

    def on_fit_begin(
        self, targets: Targets, n_bits: int, generator: torch.Generator
    ) -> None:
        """Draw the codebook, or take the one that was given."""
        if isinstance(self._method, str):
            seed = torch.randint(2**62, (), generator=generator)
            rng = np.random.default_rng(int(seed))
            codebook = make_codebook(self._method, targets.n_classes, n_bits, rng)
        else:
            codebook = check_codebook(self._method, targets.n_classes, n_bits)
        self.codebook = torch.from_numpy(codebook).float()
        self._scale = n_bits**0.5 if self.scale == "auto" else float(self.scale)

    def forward(self, output: Tensor, y: Tensor, index: Tensor) -> Tensor:
        """Return the mean loss of a batch."""
        y = y.to(output.dtype)
        logits = self._scale * self._with_margin(self.cosine(output), y)
        target = y / y.sum(dim=1, keepdim=True)
        loss = -(target * F.log_softmax(logits, dim=1)).sum(dim=1).mean()
        if self.quantization_weight:
            loss = loss + self.quantization_weight * self._quantization_error(output)
        return loss

    def cosine(self, output: Tensor) -> Tensor:
        """Return the cosine between each output and each codeword."""
        n_bits = self.codebook.shape[1]
        codebook = self.codebook.to(output.dtype)
        return F.normalize(output, dim=1) @ codebook.T / n_bits**0.5

    def _with_margin(self, cosine: Tensor, y: Tensor) -> Tensor:
        if self.margin_type == "cos":
            return cosine - self.margin * y
        angle = torch.acos(cosine.clamp(-0.99999, 0.99999))
        return torch.cos(angle + self.margin * y)

    def _quantization_error(self, output: Tensor) -> Tensor:
        signs = torch.where(output > 0, 1.0, -1.0).to(output.dtype)
        if self.quantization == "cs":
            return (1 - F.cosine_similarity(output, signs, dim=1)).mean()
        error = output - signs
        return (
            error.abs().mean() if self.quantization == "l1" else error.square().mean()
        )


class OrthoHash(DeepHasher):
    r"""Deep hashing with one cosine loss to fixed codewords.

    Each class has a codeword :math:`o_k \in \{-1, 1\}^K`, drawn at the start and never
    trained. The head, which ends in a linear layer with batch normalisation, turns a
    row into :math:`v`, and the loss is a softmax over the cosines to the codewords with
    a margin on the row's own classes [1]_:

    .. math::
        c_k = \frac{v \cdot o_k}{|v| \sqrt{K}}, \qquad
        z_k = s (c_k - m y_k), \qquad
        L = -\sum_k \frac{y_k}{\sum_l y_l} \log \operatorname{softmax}(z)_k .

    Since :math:`|\sqrt{K} v / |v| - o|^2 = 2 K (1 - \cos(v, o))`, a high cosine is a
    small quantisation error as well, and batch normalisation centres every bit, which
    keeps the bits balanced. With several labels a row, the margin is taken from each
    positive logit and the target is spread evenly over the positives.

    Parameters
    ----------
    n_bits : int, default=64
        Number of bits of a code.

    margin : float, default=0.2
        Margin :math:`m`, at least 0.

    margin_type : {"cos", "arc"}, default="cos"
        Whether the margin is subtracted from the cosine, as above, or added to the
        angle: :math:`z_k = s \cos(\arccos c_k + m y_k)`.

    scale : float or "auto", default="auto"
        Scale :math:`s` of the logits, positive; "auto" is :math:`\sqrt{K}`. The
        official code has 8 at every width, which is the same at 64 bits.

    codebook : {"bernoulli", "hadamard", "maxhd"} or array-like, default="bernoulli"
        Codewords, in the order of `classes_`. "bernoulli" draws fair bits. "hadamard"
        draws rows of a Hadamard matrix, which are orthogonal, with random signs of rows
        and columns; where `n_bits` is no power of two, it draws `n_bits` columns of the
        next larger matrix, and beyond as many classes as the matrix has rows it
        goes on with their negatives. "maxhd" draws random codewords that keep a
        distance to each other, as large as can be had. In all three no codewords are
        equal and no bit is constant: where it would be, one entry is flipped. An array
        of -1 and +1 of shape (n_classes, n_bits) is taken as it is.

    quantization_weight : float, default=0.0
        Weight of an additional quantisation term, at least 0.

    quantization : {"cs", "l1", "l2"}, default="cs"
        The term: mean of :math:`1 - \cos(v, \operatorname{sgn} v)`, of
        :math:`|v - \operatorname{sgn} v|`, or of its square.

    <shared parameters>

    Attributes
    ----------
    codebook_ : ndarray of shape (n_classes, n_bits), dtype=int8
        The codewords, -1 and +1.

    classes_ : ndarray of shape (n_classes,)
        Class labels, or the numbers of the label columns if multi-label.

    history_ : list of dict
        One an epoch: "epoch", "loss" (mean over the rows), "lr" and "seconds".

    <shared attributes>

    See Also
    --------
    LSH : Random projections, without labels.
    HammingNeighbors : Search among the codes.

    Notes
    -----
    The features are centred and scaled by one number, so their common scale does not
    matter; features in different units want a `StandardScaler` before.
    The hidden layer, the noise and the settings of the training were chosen on held-out
    parts of the training rows of five sets of features (CIFAR-10, Fashion-MNIST, 20
    Newsgroups, Corel5K, Scene) at 32 bits, the noise on the first four. The paper's
    head for ready-made features has no hidden layer: ``hidden_layer_sizes=()`` trains
    and encodes several times faster, with a lower mAP.

    References
    ----------
    .. [1] J. T. Hoe, K. W. Ng, T. Zhang, C. S. Chan, Y.-Z. Song and T. Xiang. One loss
       for all: deep hashing with a single cosine similarity based learning objective.
       NeurIPS 2021.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import train_test_split
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklhash import HammingNeighbors, OrthoHash
    >>> X, X_query, y, y_query = train_test_split(
    ...     *load_digits(return_X_y=True), test_size=300, random_state=0)
    >>> search = make_pipeline(OrthoHash(32, random_state=0), HammingNeighbors())
    >>> bool(search.fit(X, y).score(X_query, y_query) > 0.9)
    True
    """

    margin: float = 0.2
    margin_type: str = "cos"
    scale: str | float = "auto"
    codebook: str | ArrayLike = "bernoulli"
    quantization_weight: float = 0.0
    quantization: str = "cs"
    hidden_layer_sizes: Sequence[int] = (1024,)
    augment: str | FeatureAugmentation | Callable[[Tensor], Tensor] | None = (
        GaussianNoise(0.7)
    )
    max_epochs: int = 30
    lr: float = 5e-3
    weight_decay: float = 1e-3
    lr_schedule: str | Callable[[int, int], float] | None = "cosine"

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **DeepHasher._parameter_constraints,
        "margin": [Interval(Real, 0, None, closed="left")],
        "margin_type": [StrOptions({"cos", "arc"})],
        "scale": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither")],
        "codebook": [StrOptions({"bernoulli", "hadamard", "maxhd"}), "array-like"],
        "quantization_weight": [Interval(Real, 0, None, closed="left")],
        "quantization": [StrOptions({"cs", "l1", "l2"})],
    }

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the class with the nearest codeword.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            The class, or with multi-label targets the one label, whose codeword has
            the largest cosine to the real-valued code.
        """
        scores = self.decision_function(X) @ self.codebook_.T.astype(np.float32)
        return self.classes_[scores.argmax(axis=1)]

    def adapt_batch_norm(self, X: Any) -> Self:
        """Centre the bits on a database that differs from the training data.

        The mean of the batch normalisation becomes that of `X`, its scale 1 and its
        shift 0, so that each bit splits `X` near its middle. Codes made before do not
        agree with those made after: encode the whole database anew. In the paper's
        supplement, table 6, this lifts instance retrieval at 512 bits on a database
        unlike the training data, RParis-Hard, from a mAP of 0.159 to 0.608.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features of the database.

        Returns
        -------
        self : OrthoHash
            The adapted hasher.
        """
        X = self._check_fitted_X(X)
        module = self.net_.module_
        total = np.zeros(self.n_bits_)
        for _, block in self._blocks(X):
            total += self.net_.project(block, module.project).sum(
                axis=0, dtype=np.float64
            )
        norm: Any = hash_head_of(module).norm
        with torch.no_grad():
            norm.running_mean.copy_(torch.from_numpy(total / X.shape[0]))
            nn.init.ones_(norm.weight)
            nn.init.zeros_(norm.bias)
        return self

    def _make_loss(self, targets: Targets) -> OrthoHashLoss:
        return OrthoHashLoss(
            margin=self.margin,
            margin_type=self.margin_type,
            scale=self.scale,
            codebook=self.codebook,
            quantization_weight=self.quantization_weight,
            quantization=self.quantization,
        )

    def _make_head(self, n_features: int) -> HashHead:
        return HashHead(
            n_features, int(self.n_bits), self.hidden_layer_sizes, batch_norm=True
        )

    @property
    def codebook_(self) -> NDArray[np.int8]:
        """The codewords, (n_classes, n_bits)."""
        check_is_fitted(self)
        return self.net_.criterion_.codebook.cpu().numpy().astype(np.int8)
