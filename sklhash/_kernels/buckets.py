"""Codes in buckets by some of their bits, and the search in them.

A table has an entry for each distinct code, in buckets by its key: a part of the code's
bits. Of the bits behind the key, going on at the code's start behind its end, an entry
has the first in `near` and more of them in `far`, whose lower half is the code's label.
A code within a radius of a query is in a bucket whose key differs from the query's in
few bits. Which of the entries there may be that close is mostly told by `near`, which
is small and compared in vector registers.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from sklhash._kernels.popcount import inlined, kernel, popcount
from sklhash._kernels.vectors import call, prefetch, splat, trailing_zeros

__all__ = ["RUN_BYTES", "TABLE", "Index", "fill_table", "group_equal", "within"]

TABLE = np.dtype(
    [
        ("key", np.int64),  # its first bit
        ("width", np.int64),  # its number of bits
        ("radius", np.int64),  # number of them that differ in the keys looked up
        ("rest", np.int64),  # the first bit behind it
        ("flip", np.int64),  # where its part of `flips` begins
        ("last_flip", np.int64),
        ("bucket", np.int64),  # where its part of `buckets` begins
        ("entry", np.int64),  # where its part of `near` and `far` begins
        ("word", np.int64),  # a code's words that hold its bits, and which those are
        ("bits", np.uint64),
        ("next_word", np.int64),
        ("next_bits", np.uint64),
    ]
)
_LINE = 64  # bytes that memory gives at once
RUN_BYTES = 2 * _LINE  # of `near`, compared at once
_COMING = 16 * _LINE  # of a bucket, asked for in advance
_AHEAD = 16  # rows, lookups
_LOOKUPS = 1024  # together, so that memory is asked for much at once
_FOUND = 128  # runs
_PART = 1 << 19  # bytes of a table that stay close to the processor
_INT64 = ir.IntType(64)
_HALF, _LOW = np.uint64(32), np.uint64(0xFFFFFFFF)
_EMPTY = np.uint32(0xFFFFFFFF)
_NONE = np.int64(0)  # functions are compiled once more for a literal 0


class Index(NamedTuple):
    """Distinct codes in tables."""

    n_bits: int
    n_distinct: int
    words: np.ndarray  # these three as in `group_equal`
    starts: np.ndarray
    rows: np.ndarray
    buckets: np.ndarray  # these three as in `fill_table`, table by table
    near: np.ndarray  # and a run more
    far: np.ndarray


@kernel
def group_equal(words, slots):
    """Find the distinct codes, and the rows of those that are there more than once.

    words : uint64 (n_rows, n_words)
    slots : uint32, all ones, a power of two and more than rows; written

    Returns `labels`, `starts` and `rows`, uint32. Labels stand for the distinct codes,
    in the order of their first rows. One below n_rows is the only row with its code;
    ``n_rows + g`` has the rows ``rows[starts[g] : starts[g + 1]]``, ascending.
    """
    n_rows, n_words = words.shape
    code, code_bytes = words.ctypes.data, 8 * n_words
    first_rows = np.empty(n_rows, np.uint32)
    counts = np.zeros(n_rows, np.uint32)
    n_distinct = n_groups = 0
    for row in range(n_rows):
        coming = code + code_bytes * min(row + _AHEAD, n_rows - 1)
        prefetch(slots.ctypes.data + 4 * _slot(coming, n_words, len(slots)))
        slot = _slot(code + code_bytes * row, n_words, len(slots))
        while slots[slot] != _EMPTY and not _equal(words, row, slots[slot]):
            slot = (slot + 1) & (len(slots) - 1)
        if slots[slot] == _EMPTY:
            slots[slot] = row
            n_distinct += 1
        first = slots[slot]
        first_rows[row] = first
        counts[first] += np.uint32(1)
        n_groups += counts[first] == 2
    labels = np.empty(n_distinct, np.uint32)
    starts = np.empty(n_groups + 1, np.uint32)
    rows = np.empty(n_rows - (n_distinct - n_groups), np.uint32)
    n_labels = group = start = 0
    places = counts  # of the next row, once a group's first row has been there
    for row in range(n_rows):
        first = first_rows[row]
        if first < row:
            rows[places[first]] = row
            places[first] += np.uint32(1)
            continue
        count = np.int64(counts[row])
        labels[n_labels] = row if count == 1 else n_rows + group
        n_labels += 1
        if count > 1:
            starts[group] = start
            rows[start] = row
            places[row] = start + 1
            start += count
            group += 1
    starts[group] = start
    return labels, starts, rows


@kernel
def fill_table(words, n_bits, table, labels, starts, rows, buckets, near, far, order):
    """Put the distinct codes into the buckets of one table.

    words, labels, starts, rows : what `group_equal` took and returned
    table : element of TABLE, whose key, width and rest are read
    buckets : uint32 (2**width + 1,), zeros; written, where each begins, and a last end
    near, far : uint32 and uint64, or uint64 and uint32 (n_distinct,), written
    order : uint32 (n_distinct,), working memory
    """
    n_rows, n_words = words.shape
    code, code_bytes = words.ctypes.data, 8 * n_words
    key, rest, key_bits = table.key, table.rest, _ones(table.width)
    for label in labels:
        row = _row_of(label, n_rows, starts, rows)
        bits = _bits_from(code + code_bytes * row, key, n_bits, n_words)
        buckets[np.int64(bits & key_bits) + 1] += np.uint32(1)
    n_before = np.uint32(0)
    for bucket in range(1, len(buckets)):  # for now, where the bucket before it begins
        n_before, buckets[bucket] = n_before + buckets[bucket], n_before
    for label in labels:
        row = _row_of(label, n_rows, starts, rows)
        bits = _bits_from(code + code_bytes * row, key, n_bits, n_words)
        bucket = np.int64(bits & key_bits) + 1
        order[buckets[bucket]] = label
        buckets[bucket] += np.uint32(1)
    for entry in range(len(order)):
        row = _row_of(order[entry], n_rows, starts, rows)
        bits = _bits_from(code + code_bytes * row, rest, n_bits, n_words)
        near[entry] = bits
        far[entry] = bits & ~_LOW | np.uint64(order[entry])


class _Search(NamedTuple):
    """What all steps of a search share."""

    codes: Index
    tables: np.ndarray
    queries: np.ndarray
    radius: int
    rests: np.ndarray  # bits of each query behind the key of the table at hand
    halves: tuple[int, ...]
    hits: np.ndarray
    tally: np.ndarray
    found: np.ndarray  # first entry of a run; query, and a bit for each entry, in one
    passed: np.ndarray  # entry and query; then bits that differ, and query and label
    differing: np.ndarray  # a code


@kernel
def within(index, tables, flips, queries, radius, hits, tally, halves):
    """Find all pairs of a query and a row within the radius.

    index : Index
    tables : TABLE (n_tables,)
    flips : uint64, the bits in which keys that are looked up differ from the query's,
        ascending for each table; in the upper half, in how many fewer `near` may differ
    queries : uint64 (n_queries, n_words), at most 2**16
    hits : uint64, written as far as it reaches: query, distance and row in one number
    tally : int64 (2,), the number of entries in the buckets, and of those that `near`
        lets pass, are added
    halves : tuple, of as many entries as an element of `near` has halves of 64 bits

    Returns the number of pairs, which may be more than fit into `hits`.
    """
    n_queries, n_words = queries.shape
    rests = np.empty(n_queries, np.uint64)
    search = _Search(
        index,
        tables,
        queries,
        radius,
        rests,
        halves,
        hits,
        tally,
        np.empty((_FOUND, 2), np.uint64),
        np.empty((32 * _FOUND, 2), np.uint64),
        np.empty(n_words, np.uint64),
    )
    keys = np.empty(n_queries, np.uint64)
    order = np.empty(n_queries, np.uint64)
    lookups = np.empty((_LOOKUPS + _AHEAD, 3), np.uint64)
    table_bytes = 4 * len(halves) * index.n_distinct
    n_hits = _NONE
    for t in range(len(tables)):
        table = tables[t]
        first_entry, first_bucket = table.entry, table.bucket
        key, rest, key_bits = table.key, table.rest, _ones(table.width)
        for q in range(n_queries):
            query = queries.ctypes.data + 8 * n_words * q
            rests[q] = _bits_from(query, rest, index.n_bits, n_words)
            bits = _bits_from(query, key, index.n_bits, n_words)
            keys[q] = bits & key_bits
            prefetch(index.buckets.ctypes.data + 4 * (first_bucket + np.int64(keys[q])))
        first, last = table.flip, table.last_flip
        n_parts = _n_parts(table.width, n_queries * (last - first), table_bytes)
        shift = table.width - trailing_zeros(n_parts)
        starts = _sort_by_part(keys, shift, n_parts, order)
        changes = _changes(flips, first, last, shift, n_parts)
        n = np.uint64(0)
        for part in range(n_parts):
            for c in range(len(changes) - 1):
                first, last = changes[c], changes[c + 1]
                own = part ^ (np.int64(flips[first] & _LOW) >> shift)
                for place in range(starts[own], starts[own + 1]):
                    q = order[place]
                    asker = q << _HALF | np.uint64(radius + 1)
                    for f in range(first, last):
                        flipped = keys[q] ^ flips[f] & _LOW
                        bucket = np.uint64(first_bucket) + flipped
                        begin = np.uint64(index.buckets[bucket])
                        end = np.uint64(index.buckets[bucket + np.uint64(1)])
                        lookups[n, 0] = np.uint64(first_entry) + begin
                        lookups[n, 1] = np.uint64(first_entry) + end
                        lookups[n, 2] = asker - (flips[f] >> _HALF)
                        n += np.uint64(end > begin)
                        if n == np.uint64(_LOOKUPS):
                            n_hits = _scan(search, t, lookups, np.int64(n), n_hits)
                            n = np.uint64(0)
        n_hits = _scan(search, t, lookups, np.int64(n), n_hits)
    return n_hits


@inlined
def _n_parts(width, n_lookups, table_bytes):
    """Into how many parts, a power of two, to cut a table that is looked up a lot."""
    n_parts = 1
    if 4 * n_lookups >= 1 << width:
        while n_parts * _PART < table_bytes and n_parts < 1 << width:
            n_parts *= 2
    return n_parts


@inlined
def _sort_by_part(keys, shift, n_parts, order):
    """Write queries in the order of their keys' parts, and return where each begins."""
    starts = np.zeros(n_parts + 2, np.int64)
    for q in range(len(keys)):
        starts[(keys[q] >> np.uint64(shift)) + np.uint64(2)] += 1
    for part in range(n_parts):
        starts[part + 2] += starts[part + 1]
    for q in range(len(keys)):
        place = (keys[q] >> np.uint64(shift)) + np.uint64(1)
        order[np.uint64(starts[place])] = q
        starts[place] += 1
    return starts


@inlined
def _changes(flips, first, last, shift, n_parts):
    """Return where flips begin that lead into another part, and where the last end."""
    changes = np.empty(n_parts + 1, np.int64)
    n, before = 0, -1
    for f in range(first, last):
        part = np.int64(flips[f] & _LOW) >> shift
        changes[n] = f
        n += part != before
        before = part
    changes[n] = last
    return changes[: n + 1]


@kernel
def _scan(search, t, lookups, n, n_hits):
    """Compare queries with buckets, write hits, and return their number so far.

    lookups : uint64 (n + _AHEAD or more, 3), where a bucket begins and ends, and query
        and limit in one number; those behind the first n are written
    """
    near_bytes = 4 * len(search.halves)
    run = RUN_BYTES // near_bytes
    near = search.codes.near.ctypes.data
    found = search.found
    n_found = _NONE
    lookups[n : n + _AHEAD, :2] = search.tables[t].entry
    for k in range(n):
        coming = near + near_bytes * np.int64(lookups[k + _AHEAD, 0])
        end = near + near_bytes * np.int64(lookups[k + _AHEAD, 1])
        prefetch(coming)
        prefetch(coming + _LINE)
        prefetch(coming + 2 * _LINE)
        for line in range(coming + 3 * _LINE, min(end, coming + _COMING), _LINE):
            prefetch(line)
        i, end = np.int64(lookups[k, 0]), np.int64(lookups[k, 1])
        q = lookups[k, 2] >> _HALF
        limit = np.int64(lookups[k, 2] & _LOW)
        rest = np.int64(search.rests[q])
        search.tally[0] += end - i
        last = max(i, end - run)  # the last run goes back to where it is full
        while i < last:
            coming = near + near_bytes * i + _COMING
            prefetch(min(coming, near + near_bytes * end))
            prefetch(min(coming + _LINE, near + near_bytes * end))
            mask = _closer(near, i, rest, limit, search.halves)
            if mask != 0:
                found[n_found, 0] = i
                found[n_found, 1] = q << _HALF | mask
                n_found += 1
                if n_found == _FOUND:
                    n_hits = _check(search, t, n_found, n_hits)
                    n_found = _NONE
            i += run
        mask = _closer(near, last, rest, limit, search.halves)
        mask &= _ones(end - last) & ~_ones(i - last)
        found[n_found, 0] = last
        found[n_found, 1] = q << _HALF | mask
        n_found += mask != 0  # no branch, since either is as likely
        if n_found == _FOUND:
            n_hits = _check(search, t, n_found, n_hits)
            n_found = _NONE
    return _check(search, t, n_found, n_hits)


@kernel
def _check(search, t, n_found, n_hits):
    """Write what is within the radius and in no earlier table, and return n_hits."""
    index, tables, hits = search.codes, search.tables, search.hits
    found, passed, differing = search.found, search.passed, search.differing
    radius = np.uint64(search.radius)
    n_rows, n_words = index.words.shape
    n_passed = np.uint64(0)
    for f in range(n_found):
        mask = found[f, 1] & _LOW
        while mask != 0:
            i = found[f, 0] + np.uint64(trailing_zeros(mask))
            mask &= mask - np.uint64(1)
            prefetch(index.far.ctypes.data + index.far.itemsize * np.int64(i))
            passed[n_passed, 0] = i
            passed[n_passed, 1] = found[f, 1] >> _HALF
            n_passed += np.uint64(1)
    search.tally[1] += np.int64(n_passed)
    n_close = np.uint64(0)
    for p in range(n_passed):
        i, q = passed[p, 0], passed[p, 1]
        far = np.uint64(index.far[i])
        bits = (np.uint64(index.near[i]) | far & ~_LOW) ^ search.rests[q]
        label = far & _LOW
        if n_words > 1:
            prefetch(index.words.ctypes.data + index.words.strides[0] * np.int64(label))
        passed[n_close, 0] = bits
        passed[n_close, 1] = q << _HALF | label
        n_close += np.uint64(popcount(bits) <= radius)
    rest = tables[t].rest
    for p in range(n_close):
        bits, q = passed[p, 0], passed[p, 1] >> _HALF
        label = np.int64(passed[p, 1] & _LOW)
        distance = popcount(bits)
        if n_words == 1:
            differing[0] = _turned_back(bits, rest, index.n_bits)
        else:
            row = _row_of(label, n_rows, index.starts, index.rows)
            distance = np.uint64(0)
            for w in range(n_words):
                differing[w] = index.words[row, w] ^ search.queries[q, w]
                distance += popcount(differing[w])
        is_new = distance <= radius
        for e in range(t):
            table = tables[e]
            in_key = popcount(differing[table.word] & table.bits)
            in_key += popcount(differing[table.next_word] & table.next_bits)
            is_new &= in_key > np.uint64(table.radius)
        hit = q << np.uint64(48) | distance << _HALF
        if label < n_rows:
            if n_hits < len(hits):
                hits[n_hits] = hit | np.uint64(label)
            n_hits += is_new
        elif is_new:
            start = np.int64(index.starts[label - n_rows])
            count = np.int64(index.starts[label - n_rows + 1]) - start
            for place in range(min(count, len(hits) - n_hits)):
                hits[n_hits + place] = hit | np.uint64(index.rows[start + place])
            n_hits += count
    return n_hits


@intrinsic
def _closer(typing_context, near, i, rest, limit, halves):
    """Tell which entries of a run, from `i` on, differ in fewer bits than `limit`.

    near : int64, the address
    rest : int64, the bits of a query
    halves : as for `within`

    Returns one bit an entry, in a uint64.
    """

    def generate(context, builder, signature, arguments):
        near, i, rest, limit, _ = arguments
        element = ir.IntType(32 * len(halves))
        n_bytes = element.width // 8
        run = ir.VectorType(element, RUN_BYTES // n_bytes)
        address = builder.add(near, builder.mul(i, _INT64(n_bytes)))
        bits = builder.load(builder.inttoptr(address, run.as_pointer()))
        bits.align = n_bytes
        if element is not _INT64:
            rest, limit = (builder.trunc(value, element) for value in (rest, limit))
        differing = builder.xor(bits, splat(builder, rest, run))
        distances = call(builder, "llvm.ctpop", differing)
        limits = splat(builder, limit, run)
        is_closer = builder.icmp_unsigned("<", distances, limits)
        mask = builder.bitcast(is_closer, ir.IntType(run.count))
        return builder.zext(mask, _INT64)

    return types.uint64(*[types.int64] * 4, halves), generate


@intrinsic
def _word_at(typing_context, address):
    def generate(context, builder, signature, arguments):
        word = builder.load(builder.inttoptr(arguments[0], _INT64.as_pointer()))
        word.align = 8
        return word

    return types.uint64(types.int64), generate


@inlined
def _bits_from(code, first, n_bits, n_words):
    """Up to 64 bits of the code at an address, going on at its start behind its end.

    To pass it as an array would take longer than what is done here.
    """
    word = code + 8 * (first >> 6)
    shift = first & 63
    bits = _word_at(word) >> np.uint64(shift)
    if shift > 0 and (first >> 6) + 1 < n_words:
        bits |= _word_at(word + 8) << np.uint64(64 - shift)
    if n_bits - first < 64:
        bits |= _word_at(code) << np.uint64(n_bits - first)
    return bits & _ones(n_bits)


@inlined
def _turned_back(bits, first, n_bits):
    """Undo `_bits_from` for codes of one word."""
    wrapped = bits >> np.uint64(1) >> np.uint64(n_bits - 1 - first)
    return (bits << np.uint64(first) | wrapped) & _ones(n_bits)


@inlined
def _ones(n):
    return ~np.uint64(0) >> np.uint64(64 - min(n, 64)) if n > 0 else np.uint64(0)


@inlined
def _slot(code, n_words, n_slots):
    factor = np.uint64(0x9E3779B97F4A7C15)
    mixed = np.uint64(0)
    for w in range(n_words):
        mixed = (mixed ^ _word_at(code + 8 * w)) * factor
        mixed ^= mixed >> _HALF
    return np.int64(mixed * factor >> _HALF) & (n_slots - 1)


@njit(inline="always")
def _equal(words, a, b):
    equal = True
    for w in range(words.shape[1]):
        equal &= words[a, w] == words[b, w]
    return equal


@njit(inline="always")
def _row_of(label, n_rows, starts, rows):
    """One of the rows with the code that a label stands for."""
    return np.int64(label if label < n_rows else rows[starts[label - n_rows]])
