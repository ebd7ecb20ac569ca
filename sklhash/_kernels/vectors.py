"""Comparing a run of codes with queries in vector registers, as LLVM code.

Loops over 64-bit words that numba vectorises by itself reach half of what the machine
can do, so the innermost steps are written as operations on whole vectors, which LLVM
fits to the registers it finds: AVX-512, AVX2 or NEON.

Codes lie word-planar, one row of memory for each 64-bit word of a code: word ``w`` of
code ``i`` is at ``codes + w * plane + 8 * i``. A query's words lie side by side. Both
are passed as addresses, since numba compiles a kernel once more for read-only arrays,
such as memory-mapped ones. `words` is a tuple with as many entries as a code has words:
its length belongs to its type, so that one source is compiled for each width.
`together` says in the same way how many queries share a pass over the codes.
"""

from __future__ import annotations

from typing import NamedTuple

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

__all__ = [
    "Codes",
    "allowed_bits",
    "any_closer",
    "call",
    "closer",
    "distance_at",
    "nonzero_shorts",
    "prefetch",
    "splat",
    "trailing_zeros",
    "write_distances",
    "write_shared",
]

_BIT, _INT16, _INT32, _INT64 = (ir.IntType(bits) for bits in (1, 16, 32, 64))
_VECTOR = ir.VectorType(_INT64, 8)
_N_VECTORS = 4  # a round; independent operations keep the processor busy
_MOST_UNROLLED = 16  # words; more take long to compile
_CODES_A_ROUND = _VECTOR.count * _N_VECTORS
_RUN = ir.VectorType(_INT64, 64)
# A distance fits into 16 bits, and minima of 64-bit lanes take twice as long.
_SHORTS = ir.VectorType(_INT16, 4 * _VECTOR.count)


class Codes(NamedTuple):
    """Word-planar codes and which of them may be found."""

    address: int
    plane: int  # bytes from a word of a code to the next
    n: int  # a multiple of 512; the last of them may be padding, which is not allowed
    allowed: int  # address of one bit a code
    words: tuple[int, ...]


@intrinsic
def trailing_zeros(typing_context, word):
    """Place of the lowest set bit of a word that is not zero."""

    def generate(context, builder, signature, arguments):
        return builder.cttz(arguments[0], _BIT(1))

    return types.int64(word), generate


@intrinsic
def prefetch(typing_context, address):
    """Ask for the memory at `address` before it is needed."""

    def generate(context, builder, signature, arguments):
        pointer = builder.inttoptr(arguments[0], ir.IntType(8).as_pointer())
        name = "llvm.prefetch.p0"
        kind = ir.FunctionType(ir.VoidType(), [pointer.type, _INT32, _INT32, _INT32])
        function = builder.module.globals.get(name)
        function = function or ir.Function(builder.module, kind, name)
        builder.call(function, [pointer, _INT32(0), _INT32(3), _INT32(1)])
        return context.get_dummy_value()

    return types.void(types.int64), generate


@intrinsic
def allowed_bits(typing_context, allowed, i):
    """Which of the codes `i` to `i + 63` may be found, `i` a multiple of 64."""

    def generate(context, builder, signature, arguments):
        allowed, i = arguments
        return _load(builder, allowed, builder.lshr(i, _INT64(3)), _INT64)

    return types.uint64(types.int64, types.int64), generate


@intrinsic
def distance_at(typing_context, codes, plane, i, query, words):
    """Distance from code `i` to the query."""

    def generate(context, builder, signature, arguments):
        codes, plane, i, query, _ = arguments
        return _distance(builder, codes, plane, i, query, len(words), _INT64)

    return types.int64(*[types.int64] * 4, words), generate


@intrinsic
def write_distances(typing_context, codes, plane, i, query, out, words):
    """Write the distances of codes `i` to `i + 63` at `out`, 16 bits each."""

    def generate(context, builder, signature, arguments):
        codes, plane, i, query, out, _ = arguments
        distance = _distance(builder, codes, plane, i, query, len(words), _RUN)
        return _write_shorts(context, builder, distance, out)

    return types.void(*[types.int64] * 5, words), generate


@intrinsic
def nonzero_shorts(typing_context, address):
    """Tell which of 64 numbers of 16 bits are not zero, one bit each in a uint64."""

    def generate(context, builder, signature, arguments):
        kind = ir.VectorType(_INT16, 64)
        pointer = builder.inttoptr(arguments[0], kind.as_pointer())
        values = builder.load(pointer)
        values.align = 2
        is_set = builder.icmp_unsigned("!=", values, ir.Constant(kind, None))
        return builder.bitcast(is_set, _INT64)

    return types.uint64(types.int64), generate


@intrinsic
def write_shared(typing_context, labels, plane, i, query, out, words):
    """Write how many labels rows `i` to `i + 63` share with the query, as above."""

    def generate(context, builder, signature, arguments):
        labels, plane, i, query, out, _ = arguments
        shared = _set_bits(
            builder, builder.and_, labels, plane, i, query, len(words), _RUN
        )
        return _write_shorts(context, builder, shared, out)

    return types.void(*[types.int64] * 5, words), generate


@intrinsic
def closer(typing_context, codes, plane, i, query, limit, words):
    """Tell which of the codes `i` to `i + 63` are closer to the query than `limit`.

    Returns one bit a code, in a uint64.
    """

    def generate(context, builder, signature, arguments):
        codes, plane, i, query, limit, _ = arguments
        distance = _distance(builder, codes, plane, i, query, len(words), _RUN)
        is_closer = builder.icmp_unsigned("<", distance, splat(builder, limit, _RUN))
        return builder.bitcast(is_closer, _INT64)

    return types.uint64(*[types.int64] * 5, words), generate


@intrinsic
def any_closer(typing_context, codes, plane, i, n, queries, limits, words, together):
    """Tell which queries have a code closer than their limit.

    The codes are `i` to ``i + n - 1``, `n` a multiple of 16. Bit ``q`` of the result
    stands for query ``q``, whose limit is the 64-bit integer at ``limits + 8 * q``.
    """

    def generate(context, builder, signature, arguments):
        codes, plane, i, n, queries, limits, _, _ = arguments
        n_words = len(words)
        query = [
            builder.add(queries, _INT64(8 * n_words * q)) for q in range(len(together))
        ]
        farthest = ir.Constant(_SHORTS, [0xFFFF] * _SHORTS.count)
        before = builder.block
        body = builder.append_basic_block("round")
        behind = builder.append_basic_block("rounds_end")
        builder.branch(body)

        builder.position_at_end(body)
        start = builder.phi(_INT64)
        start.add_incoming(i, before)
        nearest = [builder.phi(_SHORTS) for _ in query]
        least = list(nearest)
        for v in range(_N_VECTORS):
            place = builder.add(start, _INT64(v * _VECTOR.count))
            for q, address in enumerate(query):
                distance = _distance(
                    builder, codes, plane, place, address, n_words, _VECTOR
                )
                shorts = builder.bitcast(distance, _SHORTS)
                least[q] = call(builder, "llvm.umin", least[q], shorts)
        for phi, value in zip(nearest, least, strict=True):
            phi.add_incoming(farthest, before)
            phi.add_incoming(value, builder.block)
        following = builder.add(start, _INT64(_CODES_A_ROUND))
        start.add_incoming(following, builder.block)
        more = builder.icmp_signed("<", following, builder.add(i, n))
        builder.cbranch(more, body, behind)

        builder.position_at_end(behind)
        result = _INT64(0)
        for q in range(len(together)):
            limit = _load(builder, limits, _INT64(8 * q), _INT64)
            is_closer = builder.icmp_unsigned(
                "<",
                builder.bitcast(least[q], _VECTOR),
                splat(builder, limit, _VECTOR),
            )
            lanes = builder.bitcast(is_closer, ir.IntType(_VECTOR.count))
            found = builder.icmp_unsigned("!=", lanes, lanes.type(0))
            bit = builder.shl(builder.zext(found, _INT64), _INT64(q))
            result = builder.or_(result, bit)
        return result

    return types.int64(*[types.int64] * 6, words, together), generate


def _distance(builder, codes, plane, i, query, n_words, kind):
    """Differing bits between a query and as many codes from `i` on as `kind` holds."""
    return _set_bits(builder, builder.xor, codes, plane, i, query, n_words, kind)


def _set_bits(builder, combine, codes, plane, i, query, n_words, kind):
    """Bits set in what `combine` makes of the codes' words and the query's."""
    place = builder.add(codes, builder.mul(i, _INT64(8)))

    def in_word(w):
        code = _load(builder, place, builder.mul(plane, w), kind)
        word = _load(builder, query, builder.mul(w, _INT64(8)), _INT64)
        word = splat(builder, word, kind) if kind is not _INT64 else word
        return call(builder, "llvm.ctpop", combine(code, word))

    if n_words > _MOST_UNROLLED:
        return _sum_in_a_loop(builder, in_word, n_words, kind)
    total = in_word(_INT64(0))
    for w in range(1, n_words):
        total = builder.add(total, in_word(_INT64(w)))
    return total


def _write_shorts(context, builder, values, out):
    shorts = builder.trunc(values, ir.VectorType(_INT16, values.type.count))
    pointer = builder.inttoptr(out, shorts.type.as_pointer())
    builder.store(shorts, pointer).align = 2
    return context.get_dummy_value()


def _sum_in_a_loop(builder, term, n, kind):
    """Sum of ``term(w)`` for w from 0 to n - 1."""
    before = builder.block
    body = builder.append_basic_block("word")
    behind = builder.append_basic_block("words_end")
    builder.branch(body)

    builder.position_at_end(body)
    w, total = builder.phi(_INT64), builder.phi(kind)
    w.add_incoming(_INT64(0), before)
    total.add_incoming(ir.Constant(kind, None), before)
    following = builder.add(w, _INT64(1))
    longer = builder.add(total, term(w))
    w.add_incoming(following, body)
    total.add_incoming(longer, body)
    builder.cbranch(builder.icmp_signed("<", following, _INT64(n)), body, behind)

    builder.position_at_end(behind)
    return longer


def _load(builder, address, offset, kind):
    pointer = builder.inttoptr(builder.add(address, offset), kind.as_pointer())
    value = builder.load(pointer)
    value.align = 8
    return value


def splat(builder, value, kind):
    """Fill a vector with one value."""
    undefined = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(undefined, value, _INT32(0))
    zeros = ir.Constant(ir.VectorType(_INT32, kind.count), None)
    return builder.shuffle_vector(first, undefined, zeros)


def call(builder, name, *arguments):
    """Call an LLVM intrinsic whose result and arguments are of one type."""
    kind = arguments[0].type
    lanes = f"v{kind.count}" if isinstance(kind, ir.VectorType) else ""
    element = kind.element if lanes else kind
    name = f"{name}.{lanes}i{element.width}"
    function = builder.module.globals.get(name)
    if function is None:
        kinds = [argument.type for argument in arguments]
        function = ir.Function(builder.module, ir.FunctionType(kind, kinds), name)
    return builder.call(function, arguments)
