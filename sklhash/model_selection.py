"""Splits into queries, a database and training rows."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import (
    StrOptions,
    validate_parameter_constraints,
    validate_params,
)

from sklhash._arrays import as_array
from sklhash._validation import Interval, check_same_length
from sklhash.targets import Targets, encode_targets

__all__ = [
    "PROTOCOLS",
    "QueryDatabaseSplit",
    "RetrievalProtocol",
    "RetrievalShuffleSplit",
    "query_database_split",
]


class QueryDatabaseSplit(NamedTuple):
    """Row numbers of the three parts of a retrieval data set, each in random order.

    Parameters
    ----------
    query : ndarray of shape (n_queries,), dtype=int64
        Rows that search.

    database : ndarray of shape (n_database,), dtype=int64
        Rows that are searched.

    train : ndarray of shape (n_train,), dtype=int64
        Rows that a hasher is fitted on.

    See Also
    --------
    query_database_split : Draws them.

    Examples
    --------
    >>> from sklhash import query_database_split
    >>> split = query_database_split(["cat", "dog"] * 50, 5, 20, random_state=0)
    >>> split.query.shape, split.database.shape, split.train.shape
    ((10,), (90,), (40,))
    """

    query: NDArray[np.int64]
    database: NDArray[np.int64]
    train: NDArray[np.int64]


class RetrievalProtocol(NamedTuple):
    """The counts of a split, and the cut-off of the mAP that goes with it.

    Parameters
    ----------
    n_query : int
        Queries of each class, or in all.

    n_train : int or None
        Training rows of each class, or in all; None for the whole database.

    per_class : bool, default=True
        Whether the counts are those of each class or label.

    train_in_database : bool, default=True
        Whether training rows are searched too.

    n_database : int, default=None
        Size of the database in the papers; None where they do not agree on one.

    k : int, default=None
        The `k` of mAP@k; None for the whole ranking.

    See Also
    --------
    query_database_split : Draws a split by the name of a protocol.

    Examples
    --------
    >>> from sklhash.model_selection import PROTOCOLS
    >>> protocol = PROTOCOLS["cifar10-U"]
    >>> protocol.n_query, protocol.per_class, protocol.k
    (1000, True, 1000)
    """

    n_query: int
    n_train: int | None
    per_class: bool = True
    train_in_database: bool = True
    n_database: int | None = None
    k: int | None = None


PROTOCOLS: dict[str, RetrievalProtocol] = {
    "cifar10-I": RetrievalProtocol(100, 500, n_database=59_000),
    "cifar10-I54": RetrievalProtocol(
        100, 500, train_in_database=False, n_database=54_000
    ),
    "cifar10-II": RetrievalProtocol(1000, None, n_database=50_000),
    "cifar10-U": RetrievalProtocol(1000, 500, n_database=50_000, k=1000),
    "nuswide21-I": RetrievalProtocol(100, 500, n_database=193_734, k=5000),
    "nuswide21-II": RetrievalProtocol(100, None, n_database=193_734, k=50_000),
    "nuswide81": RetrievalProtocol(5000, 10_000, per_class=False, k=5000),
    "imagenet100": RetrievalProtocol(50, 130, k=1000),
    "coco": RetrievalProtocol(
        5000, 10_000, per_class=False, n_database=117_218, k=5000
    ),
    "mirflickr25k": RetrievalProtocol(
        1000, 4000, per_class=False, train_in_database=False, n_database=20_000
    ),
}
"""The protocols that :func:`query_database_split` knows by name."""


_COUNT = Interval(Integral, 1, None, closed="left")
_DEFAULTS = {"n_query_per_class": 100, "n_train_per_class": 500}


@validate_params(
    {
        "n_query_per_class": [_COUNT],
        "n_train_per_class": [_COUNT, None],
        "n_query": [_COUNT, None],
        "n_train": [_COUNT, None],
        "protocol": [StrOptions(set(PROTOCOLS)), None],
        "train_in_database": ["boolean", None],
        "query_pool": ["array-like", None],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def query_database_split(
    y: Any,
    n_query_per_class: int = 100,
    n_train_per_class: int | None = 500,
    *,
    n_query: int | None = None,
    n_train: int | None = None,
    protocol: str | None = None,
    train_in_database: bool | None = None,
    query_pool: Any = None,
    random_state: int | np.random.RandomState | None = None,
) -> QueryDatabaseSplit:
    """Draw queries and training rows; what is not a query is the database.

    By default each class gives 100 queries and 500 training rows, and the database is
    everything but the queries: the protocol that most papers use for CIFAR-10 and
    NUS-WIDE. Queries are never in the database, and never trained on.

    Parameters
    ----------
    y : array-like of shape (n_samples,) or {array-like, sparse matrix} of shape \
            (n_samples, n_labels)
        Class labels, or a label indicator of zeros and ones. Rows without any label
        have nothing to retrieve, and are in no part.

    n_query_per_class : int, default=100
        Queries of each class. With several labels a row: rows drawn for each label
        among those not drawn for another one, the rarest label first, so that there
        are ``n_query_per_class * n_labels`` queries, and a label may be on more of them
        than were drawn for it.

    n_train_per_class : int or None, default=500
        Training rows of each class, drawn in the same way. None takes the whole
        database, but for rows of `query_pool`.

    n_query : int, default=None
        Queries in all, drawn whatever their labels, in place of `n_query_per_class`.

    n_train : int, default=None
        Training rows in all, to go with `n_query`; None is the whole database.

    protocol : str, default=None
        Name of a protocol of the literature, in place of the counts and of
        `train_in_database`; the names are in the Notes.

    train_in_database : bool, default=None
        Whether the training rows are in the database. None is True, or what `protocol`
        says.

    query_pool : array-like of int or bool, default=None
        Row numbers, or a mask of shape (n_samples,), of rows such as an official test
        set: queries are drawn among them, and training rows among the others. None
        draws both from all rows.

    random_state : int, RandomState instance or None, default=None
        Draws the rows. Pass an int for the same split in each call.

    Returns
    -------
    split : QueryDatabaseSplit
        ``(query, database, train)``, int64 row numbers in random order, so that of
        items at equal distance none is ahead for its class. One class a row: the
        queries do not depend on the number of training rows.

    Raises
    ------
    ValueError
        If a class or label has too few rows, with its name; counts come in two ways at
        once; or `query_pool` does not hold rows of `y`.

    Warns
    -----
    UserWarning
        If the database does not have the size that it has in the protocol's papers.

    See Also
    --------
    RetrievalShuffleSplit : The same for cross-validation.
    sklearn.model_selection.train_test_split : Splits rows themselves, in two.

    Notes
    -----
    The protocols, by the counts that their papers or released lists have:

    ============  ===============  ================  =============  ======  =======
    protocol      queries          training rows     database       mAP@    counts
    ============  ===============  ================  =============  ======  =======
    cifar10-I     100 a class      500 a class       59,000         all     checked
    cifar10-I54   100 a class      500 a class       54,000, no     all     checked
                                                     training rows
    cifar10-II    1,000 a class    whole database    50,000         all     checked
    cifar10-U     1,000 a class    500 a class       50,000         1,000   checked
    nuswide21-I   100 a label      500 a label       193,734        5,000   checked
    nuswide21-II  100 a label      whole database    193,734        50,000  reported
    nuswide81     5,000            10,000            the rest       5,000   checked
    imagenet100   50 a class       130 a class       the rest       1,000   checked
    coco          5,000            10,000            117,218        5,000   checked
    mirflickr25k  1,000            4,000             20,000, no     all     checked
                                                     training rows
    ============  ===============  ================  =============  ======  =======

    "checked" counts were read in released lists or code, "reported" ones are recalled
    from papers. ``PROTOCOLS[protocol]`` holds them, with ``k`` for mAP@k.

    "cifar10-I" is that of DPSH and the first setting of DSDH and OrthoHash,
    "cifar10-I54" that of many re-implementations of HashNet, "cifar10-II" the second
    setting of DSDH and OrthoHash. "cifar10-U" is that of CIBHash's code, which scores
    half of the queries and validates on the others; other unsupervised methods train on
    the whole database. Reported, too, are 100 training images a class for
    "imagenet100" and 2,000 queries for "mirflickr25k".

    Where the papers take queries from an official test set ("cifar10-II", "cifar10-U")
    or validation set ("imagenet100"), give its rows as `query_pool`; else the same
    counts are drawn from all rows. HashNet's lists for "nuswide81" are fixed files, and
    a fifth of their rows have no label. Data sets with fixed queries (GLDv2, ROxford,
    RParis) have nothing to draw.

    Where labels overlap much, the first ones drawn may leave too few rows for another;
    another `random_state` may do.

    Examples
    --------
    >>> import numpy as np
    >>> from sklhash.model_selection import PROTOCOLS, query_database_split
    >>> y = np.repeat(["cat", "dog"], 50)
    >>> query, database, train = query_database_split(y, 5, 20, random_state=0)
    >>> len(query), len(database), len(train)
    (10, 90, 40)
    >>> np.unique(y[query], return_counts=True)[1]
    array([5, 5])

    A protocol of the literature, and the `k` of its mAP@k:

    >>> y = np.arange(60_000) % 10
    >>> split = query_database_split(y, protocol="cifar10-U", random_state=0)
    >>> [len(rows) for rows in split]
    [10000, 50000, 5000]
    >>> PROTOCOLS["cifar10-U"].k
    1000
    """
    counts = _settle_counts(
        protocol,
        n_query_per_class=n_query_per_class,
        n_train_per_class=n_train_per_class,
        n_query=n_query,
        n_train=n_train,
        train_in_database=train_in_database,
    )
    targets = encode_targets(y)
    pool = None if query_pool is None else _mask_of(query_pool, len(targets))
    split = _draw(targets, counts, pool, check_random_state(random_state))
    if counts.n_database not in (None, len(split.database)):
        warnings.warn(
            f"The database of protocol={protocol!r} has {counts.n_database} rows, that "
            f"of this y has {len(split.database)}: scores do not compare with the "
            "papers'.",
            UserWarning,
            stacklevel=3,
        )
    return split


class RetrievalShuffleSplit(BaseCrossValidator):
    """Cross-validation for retrieval: a database to fit on, and queries.

    Each split draws the same number of queries of each class; the rest is the training
    set, which a search such as :class:`~sklhash.HammingNeighbors` keeps as its
    database. Every query finds something relevant there. Unlike
    :class:`~sklearn.model_selection.StratifiedShuffleSplit` this takes several labels a
    row, label by label, and weighs all classes the same.

    Parameters
    ----------
    n_splits : int, default=10
        Number of splits, drawn independently.

    n_query_per_class : int, default=10
        Queries of each class or label, as in :func:`query_database_split`.

    n_train_per_class : int, default=None
        Rows of each class or label to fit on. None takes all but the queries.

    random_state : int, RandomState instance or None, default=None
        Draws the rows. Pass an int for the same splits in each call, which searches
        such as :class:`~sklearn.model_selection.HalvingGridSearchCV` ask for.

    See Also
    --------
    query_database_split : One split, with training rows apart from the database.

    Notes
    -----
    A hasher without a search behind it has no database of its own: its `score` searches
    the queries of a split among each other. Rows without any label are in no split.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import cross_val_score
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklhash import LSH, HammingNeighbors
    >>> from sklhash.model_selection import RetrievalShuffleSplit
    >>> X, y = load_digits(return_X_y=True)
    >>> search = make_pipeline(LSH(64, random_state=0), HammingNeighbors())
    >>> splits = RetrievalShuffleSplit(3, random_state=0)
    >>> scores = cross_val_score(search, X, y, cv=splits)
    >>> scores.shape
    (3,)
    """

    def __init__(
        self,
        n_splits: int = 10,
        *,
        n_query_per_class: int = 10,
        n_train_per_class: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_splits = n_splits
        self.n_query_per_class = n_query_per_class
        self.n_train_per_class = n_train_per_class
        self.random_state = random_state
        validate_parameter_constraints(
            {
                "n_splits": [_COUNT],
                "n_query_per_class": [_COUNT],
                "n_train_per_class": [_COUNT, None],
                "random_state": ["random_state"],
            },
            vars(self),
            caller_name=type(self).__name__,
        )

    def split(
        self, X: Any, y: Any = None, groups: Any = None
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Draw the splits.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features, of which only the number of rows matters.

        y : array-like of shape (n_samples,) or {array-like, sparse matrix} of shape \
                (n_samples, n_labels)
            Class labels, or a label indicator of zeros and ones.

        groups : object, default=None
            Ignored, with a warning.

        Yields
        ------
        train : ndarray of shape (n_train,), dtype=int64
            Rows of the database, in random order.

        test : ndarray of shape (n_queries,), dtype=int64
            Rows of the queries, in random order.

        Raises
        ------
        ValueError
            If there is no `y`, it is no labels of the rows of `X`, or a class or label
            has too few rows.
        """
        if groups is not None:
            warnings.warn(
                f"The groups parameter is ignored by {type(self).__name__}",
                UserWarning,
                stacklevel=2,
            )
        targets = encode_targets(y)
        check_same_length(X=X, y=y)
        counts = RetrievalProtocol(self.n_query_per_class, self.n_train_per_class)
        rng = check_random_state(self.random_state)
        for _ in range(self.n_splits):
            query, _, train = _draw(targets, counts, None, rng)
            yield train, query

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of splits.

        Parameters
        ----------
        X, y, groups : object
            Ignored.

        Returns
        -------
        n_splits : int
            What the constructor was given.
        """
        return self.n_splits


def _settle_counts(protocol: str | None, **arguments: Any) -> RetrievalProtocol:
    """Make one protocol of the arguments, or say which contradict each other."""
    given = [
        f"{name}={value!r}"
        for name, value in arguments.items()
        if value != _DEFAULTS.get(name)
    ]
    if protocol is not None:
        if given:
            raise ValueError(
                f"protocol={protocol!r} sets all counts, so {given[0]} cannot be given."
            )
        return PROTOCOLS[protocol]
    n_query, n_train = arguments["n_query"], arguments["n_train"]
    per_class = n_query is None
    if per_class and n_train is not None:
        raise ValueError(f"n_train={n_train} needs n_query, the queries in all.")
    if per_class:
        n_query, n_train = (arguments[name] for name in _DEFAULTS)
    elif any("per_class" in argument for argument in given):
        raise ValueError(
            f"n_query={n_query} counts rows of all classes, so {given[0]} cannot be "
            "given."
        )
    in_database = arguments["train_in_database"] is not False
    if n_train is None and not in_database:
        raise ValueError(
            "train_in_database=False needs a number of training rows, got None, which "
            "is the whole database."
        )
    return RetrievalProtocol(n_query, n_train, per_class, in_database)


def _mask_of(rows: Any, n_rows: int) -> NDArray[np.bool_]:
    rows = as_array(rows, "query_pool")
    if rows.dtype.kind == "b" and rows.shape == (n_rows,):
        return rows
    if rows.dtype.kind not in "iu" or rows.ndim != 1:
        raise ValueError(
            f"query_pool must be a vector of row numbers or a mask of {n_rows} rows, "
            f"got an array of shape {rows.shape} and dtype {rows.dtype}."
        )
    outside = (rows < 0) | (rows >= n_rows)
    if outside.any():
        raise ValueError(
            f"query_pool must hold row numbers from 0 to {n_rows - 1}, got "
            f"{rows[outside][0]}."
        )
    mask = np.zeros(n_rows, dtype=bool)
    mask[rows] = True
    return mask


def _draw(
    targets: Targets,
    counts: RetrievalProtocol,
    pool: NDArray[np.bool_] | None,
    rng: np.random.RandomState,
) -> QueryDatabaseSplit:
    """Draw the rows of one split, the queries out of the pool and the others not."""
    everywhere = np.ones(len(targets), dtype=bool)
    may_query, may_train = (everywhere, everywhere) if pool is None else (pool, ~pool)
    # Each class is drawn a row of the database too, lest others use it up.
    shares = [
        ("queries", counts.n_query, may_query),
        ("training rows", counts.n_train or 1, may_train),
        ("database rows", int(not counts.train_in_database), everywhere),
    ]
    query, train = _draw_shares(_groups(targets, counts.per_class), shares, rng)
    in_database = targets.labelled
    in_database[query] = False
    if not counts.train_in_database:
        in_database[train] = False
    query = rng.permutation(query)
    database = rng.permutation(np.flatnonzero(in_database))
    whole = counts.n_train is None
    train = database[may_train[database]] if whole else rng.permutation(train)
    return QueryDatabaseSplit(query, database, train)


def _groups(
    targets: Targets, per_class: bool
) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Yield the rows to draw a share of, and what to call them, the fewest first."""
    if not per_class or not targets.labelled.any():
        yield "rows with a label", np.flatnonzero(targets.labelled)
        return
    columns = targets.labels.tocsc()
    rows_of = np.split(columns.indices.astype(np.int64), columns.indptr[1:-1])
    kind = "label" if targets.multilabel else "class"
    classes = targets.classes.tolist()
    for column in np.argsort(np.diff(columns.indptr), kind="stable"):
        yield f"rows of {kind} {classes[column]!r}", rows_of[column]


def _draw_shares(
    groups: Iterator[tuple[str, NDArray[np.int64]]],
    shares: list[tuple[str, int, NDArray[np.bool_]]],
    rng: np.random.RandomState,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw rows for queries and for training, each row once."""
    taken = np.zeros(len(shares[0][2]), dtype=bool)
    drawn: dict[str, list[NDArray[np.int64]]] = {what: [] for what, *_ in shares}
    for name, rows in groups:
        order = rng.permutation(rows)
        for what, wanted, allowed in shares:
            free = order[allowed[order] & ~taken[order]]
            if len(free) < wanted:
                raise ValueError(
                    f"y has {len(rows)} {name}, {len(free)} of them left for {what}, "
                    f"wanted {wanted}."
                )
            taken[free[:wanted]] = True
            drawn[what].append(free[:wanted])
    return np.concatenate(drawn["queries"]), np.concatenate(drawn["training rows"])
