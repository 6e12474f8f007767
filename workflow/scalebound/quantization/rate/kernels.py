"""Compiled loops of the coder of integers: what `wavefront`, `signs` and constriction's range coder do, bit for bit.

Importing this module imports numba; only `compiled` does, inside a function. numba keeps what it compiled and makes it again
where this file has changed, not where another has: so all loops are here, and constants of other modules are handed to them.

Three arrays are an end of the coder. `state` uint64 [6]: lower end and size of the range; of a writer, how many words it
holds back and the first of them; of a reader, the point in the range that its words say; last, how many words it wrote or
read. `words` uint32: the message, with room for all that a call may write. `bits` float64 [1]: ideal code length so far.
Sums and products of uint64 and int64 go round at 2^64, as in numpy. What is divided is not negative, by what is positive.
"""

import numba
import numpy as np

METER, WRITE, READ = 0, 1, 2
UNREADABLE = -1  # what a reader gets where nobody wrote that
LOWER, SIZE, HELD, FIRST, POINT, PLACE = range(6)
_TILE, _GAP = 64, 72  # the gap keeps neighbouring anti-diagonals of 2^k entries off the same lines of the cache
_PRECISION, _WORD = np.uint64(24), np.uint64(32)
_NONE, _ONE, _LEAST, _WORDS_OF_ONES = np.uint64(0), np.uint64(1), np.uint64(1 << 32), np.uint64(0xFFFFFFFF)


def compiled(function):
    """The function compiled when it is first called, and kept for other processes where there is a folder to keep it in."""
    try:
        return numba.njit(function, cache=True, error_model="numpy")
    except RuntimeError:
        return numba.njit(function, error_model="numpy")


@compiled
def _fill(cumulative, counts, total, c):
    """Row c of `cumulative` uint64 [classes, symbols + 1]: 24-bit fixed point of frequencies, as constriction makes it from floats."""
    symbols = counts.shape[1]
    scale = np.float64((1 << 24) - symbols) / np.float64(total)
    below = np.int64(0)
    for s in range(symbols):
        cumulative[c, s] = np.uint64(np.int64(np.float64(below) * scale) + s)
        below += counts[c, s]
    cumulative[c, symbols] = _ONE << _PRECISION


@compiled
def _write(state, words, classes, symbols, cumulative):
    """Code uint8 `symbols` [n], each under the row of `cumulative` that uint8 `classes` [n] says."""
    lower, size, held, first, place = state[LOWER], state[SIZE], state[HELD], state[FIRST], state[PLACE]
    for n in range(len(symbols)):
        left, right = cumulative[classes[n], symbols[n]], cumulative[classes[n], np.uint64(symbols[n]) + _ONE]
        scale = size >> _PRECISION
        size = scale * (right - left)
        start = lower + scale * left
        if held > _NONE and start + size > start:
            # the words that were held back are decided: a carry has passed through them, or cannot come any more
            carried = start < lower
            words[place] = first + _ONE if carried else first
            for k in range(place + _ONE, place + held):
                words[k] = _NONE if carried else _WORDS_OF_ONES
            place += held
            held = _NONE
        lower = start
        if size < _LEAST:
            size <<= _WORD
            word = lower >> _WORD
            lower <<= _WORD
            if held > _NONE:
                held += _ONE
            elif lower + size > lower:
                words[place] = word
                place += _ONE
            else:
                held, first = _ONE, word
    state[LOWER], state[SIZE], state[HELD], state[FIRST], state[PLACE] = lower, size, held, first, place


@compiled
def _read(state, words, classes, symbols, cumulative):
    """Fill uint8 `symbols` [n]; False where the words cannot have been written."""
    lower, size, point, place = state[LOWER], state[SIZE], state[POINT], state[PLACE]
    for n in range(len(symbols)):
        c = classes[n]
        scale = size >> _PRECISION
        distance = point - lower
        if distance >= scale << _PRECISION:
            return False
        # the last entry of a row is 2^24, so the search ends inside it
        s, left, right = _NONE, _NONE, scale * cumulative[c, 1]
        while distance >= right:
            s += _ONE
            left = right
            right = scale * cumulative[c, s + _ONE]
        symbols[n] = s
        lower += left
        size = right - left
        if size < _LEAST:
            size <<= _WORD
            lower <<= _WORD
            point <<= _WORD
            if place < len(words):
                point |= np.uint64(words[place])
                place += _ONE
    state[LOWER], state[SIZE], state[POINT], state[PLACE] = lower, size, point, place
    return True


@compiled
def _spend(bits, counts, totals, tally, present):
    """Add the ideal code length of symbols whose numbers are int64 `tally` [classes, symbols], under frequencies `counts`."""
    spent = 0.0
    for c in range(counts.shape[0]):
        if present[c]:
            for s in range(counts.shape[1]):
                if tally[c, s]:
                    spent -= tally[c, s] * np.log2(counts[c, s] / totals[c])
    bits[0] += spent


@compiled
def _learn(counts, totals, tally, present, increment, largest):
    """Add to frequencies what was seen, and halve those of every class whose sum is above `largest`."""
    for c in range(counts.shape[0]):
        if present[c]:
            for s in range(counts.shape[1]):
                counts[c, s] += increment * tally[c, s]
                totals[c] += increment * tally[c, s]
        if totals[c] > largest:
            counts[c] = (counts[c] + 1) >> 1
            totals[c] = counts[c].sum()


@compiled
def _work(counts):
    """What `_piece` needs beside frequencies int64 [classes, symbols]: their sums, tables in fixed point, tallies, classes in use."""
    classes, symbols = counts.shape
    return counts.sum(1), np.zeros((classes, symbols + 1), np.uint64), np.zeros((classes, symbols), np.int64), np.zeros(classes, np.bool_)


@compiled
def _piece(mode, state, words, bits, classes, symbols, counts, work, increment, largest):
    """Code `symbols` by the frequencies that were there before the first of them, then learn from all; False where nobody wrote that."""
    totals, cumulative, tally, present = work
    present[:] = False
    for n in range(len(classes)):
        present[classes[n]] = True
    for c in range(len(present)):
        if present[c]:
            tally[c] = 0
            if mode != METER:
                _fill(cumulative, counts, totals[c], c)
    if mode == READ and not _read(state, words, classes, symbols, cumulative):
        return False
    if mode == WRITE:
        _write(state, words, classes, symbols, cumulative)
    for n in range(len(classes)):
        tally[classes[n], symbols[n]] += 1
    if mode != READ:
        _spend(bits, counts, totals, tally, present)
    _learn(counts, totals, tally, present, increment, largest)
    return True


@compiled
def class_of(edges, value):
    """How many of int64 `edges` [31], the last of which are never reached, are at most `value`."""
    c = 0
    c += 16 * (edges[c + 15] <= value)
    c += 8 * (edges[c + 7] <= value)
    c += 4 * (edges[c + 3] <= value)
    c += 2 * (edges[c + 1] <= value)
    return c + (edges[c] <= value)


@compiled
def _quotient(a, b):
    """floor(a / b) of integers 0 <= a < 2^53 and b >= 1: a quotient that is no integer is never rounded up to one."""
    return np.int64(np.float64(a) / np.float64(b))


@compiled
def _diagonals(rows, columns):
    """int64 [rows + columns - 1]: along anti-diagonals, entry (i, j) has place i + diagonals[i + j]."""
    found, place = np.empty(rows + columns - 1, np.int64), 0
    for diagonal in range(len(found)):
        low, high = max(0, diagonal - columns + 1), min(rows, diagonal + 1)
        found[diagonal] = place - low
        place += high - low + _GAP
    return found


@compiled
def _to_diagonals(values, diagonals, ordered, cap):
    """Put magnitudes, capped, into uint8 `ordered` along anti-diagonals; by tiles, as both ends of a long one are far from each other."""
    rows, columns = values.shape
    for top in range(0, rows, _TILE):
        for left in range(0, columns, _TILE):
            for i in range(top, min(rows, top + _TILE)):
                for j in range(left, min(columns, left + _TILE)):
                    ordered[i + diagonals[i + j]] = min(abs(values[i, j]), cap)


@compiled
def _from_diagonals(values, diagonals, ordered):
    """And back."""
    rows, columns = values.shape
    for top in range(0, rows, _TILE):
        for left in range(0, columns, _TILE):
            for i in range(top, min(rows, top + _TILE)):
                for j in range(left, min(columns, left + _TILE)):
                    values[i, j] = ordered[i + diagonals[i + j]]


@compiled
def code_matrix(mode, state, words, bits, values, counts, mean, edges, shift, increment, largest):
    """`wavefront.code_matrix` of the magnitudes, capped, of int32 `values` [rows, columns]: returns their mean or UNREADABLE."""
    rows, columns = values.shape
    work, longest = _work(counts), min(rows, columns)
    row_seen, row_expected = np.full(rows, 1 << shift), np.full(rows, 1 << shift)
    # columns in reverse, so that an anti-diagonal is a slice of them
    column_seen, column_expected = np.full(columns, 1 << shift), np.full(columns, 1 << shift)
    by_row, by_column = np.empty(longest, np.int64), np.empty(longest, np.int64)
    classes, diagonals = np.empty(longest, np.uint8), _diagonals(rows, columns)
    ordered = np.empty(values.size + _GAP * len(diagonals), np.uint8)
    if mode != READ:
        _to_diagonals(values, diagonals, ordered, counts.shape[1] - 1)
    total, count = 16 * mean, 16
    for diagonal in range(rows + columns - 1):
        low, high = max(0, diagonal - columns + 1), min(rows, diagonal + 1)
        n, j = high - low, columns - 1 - diagonal + low
        for k in range(n):
            by_row[k] = mean * _quotient(row_seen[low + k] << shift, row_expected[low + k]) >> shift
            by_column[k] = _quotient(column_seen[j + k] << shift, column_expected[j + k])
        for k in range(n):
            classes[k] = class_of(edges, by_row[k] * by_column[k] >> shift)
        symbols = ordered[low + diagonals[diagonal] : high + diagonals[diagonal]]
        if not _piece(mode, state, words, bits, classes[:n], symbols, counts, work, increment, largest):
            return UNREADABLE
        for k in range(n):
            seen = np.int64(symbols[k]) << shift
            row_seen[low + k] += seen
            column_seen[j + k] += seen
            row_expected[low + k] += mean * by_column[k] >> shift
            column_expected[j + k] += by_row[k]
            total += seen
        count += n
        mean = max(1, total // count)
    if mode == READ:
        _from_diagonals(values, diagonals, ordered)
    return mean


@compiled
def code_vector(mode, state, words, bits, values, counts, mean, edges, shift, increment, largest):
    """`wavefront.code_vector` of the magnitudes, capped, of int32 `values` [n]: returns their mean or UNREADABLE."""
    work, classes, symbols = _work(counts), np.empty(len(values), np.uint8), np.empty(len(values), np.uint8)
    cap, total, count, start = counts.shape[1] - 1, 16 * mean, 16, 0
    if mode != READ:
        for k in range(len(values)):
            symbols[k] = min(abs(values[k]), cap)
    while start < len(values):
        stop = min(len(values), start + max(8, start // 8))
        classes[start:stop] = class_of(edges, mean)
        if not _piece(mode, state, words, bits, classes[start:stop], symbols[start:stop], counts, work, increment, largest):
            return UNREADABLE
        for k in range(start, stop):
            total += np.int64(symbols[k]) << shift
        count += stop - start
        mean, start = max(1, total // count), stop
    if mode == READ:
        values[:] = symbols
    return mean


@compiled
def places_of(values, cap):
    """int64 places in int32 `values` [n] of magnitudes at or above `cap`."""
    places = np.empty(np.sum(np.abs(values) >= cap), np.int64)
    n = 0
    for k in range(len(values)):
        if abs(values[k]) >= cap:
            places[n] = k
            n += 1
    return places


@compiled
def code_signs(mode, state, words, bits, values, counts, edges, increment, largest):
    """`signs.code_signs` of int32 `values` [rows, columns], which a reader negates; returns 0 or UNREADABLE."""
    rows, columns = values.shape
    work, lead = _work(counts), np.zeros(columns, np.int64)
    used, classes, symbols = np.empty(columns, np.int64), np.empty(columns, np.uint8), np.empty(columns, np.uint8)
    for row in range(rows):
        n = 0
        for column in range(columns):
            used[n], symbols[n] = column, values[row, column] < 0
            n += values[row, column] != 0
        for k in range(n):
            classes[k] = class_of(edges, lead[used[k]])
        if not _piece(mode, state, words, bits, classes[:n], symbols[:n], counts, work, increment, largest):
            return UNREADABLE
        for k in range(n):
            lead[used[k]] += 1 - 2 * np.int64(symbols[k])
        if mode == READ:
            for k in range(n):
                if symbols[k]:
                    values[row, used[k]] = -values[row, used[k]]
    return 0
