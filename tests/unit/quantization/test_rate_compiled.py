"""Compiled loops write the messages of the plain ones, read and refuse what these do, and add up the same bits."""

import datetime
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scalebound.benchmarks import coder
from scalebound.errors import InputError
from scalebound.quantization.integers import matrix_view
from scalebound.quantization.rate import coders, compiled, message, wavefront
from scalebound.quantization.rate.coded_tensor import LARGEST_CODE, CodedTensor
from scalebound.quantization.rate.signed import SignedModel

ID = "00112233445566778899aabbccddeeff"
CLOSE = 1e-12  # bits are sums of the same terms in another order
# the first example of a process may compile
PATIENT = settings(deadline=datetime.timedelta(minutes=5))


def architecture_of(shapes):
    return {"id": ID, "parameters": [{"name": f"p{k}", "shape": list(shape), "use": use} for k, (shape, use) in enumerate(shapes)]}


def random_tensors(architecture, seed, scale, signs=0.5):
    """Codes with heavy tails, rows and columns of their own scales, and a share `signs` of negative ones."""
    rng = np.random.default_rng(seed)

    def tensor(parameter):
        rows, columns = shape = matrix_view(parameter["shape"], parameter["use"])
        scales = scale * np.exp(rng.normal(size=(rows, 1)) + rng.normal(size=(1, columns)))
        size = np.abs(np.clip(np.rint(rng.standard_t(2, shape) * scales), -LARGEST_CODE, LARGEST_CODE))
        codes = np.where(rng.random(shape) < signs, -size, size).astype(np.int32)
        exponents = [rng.integers(-9, 9, n).astype(np.int16) * int(rng.integers(0, 2)) for n in shape]
        return CodedTensor(codes, int(rng.integers(-60, 20)), *exponents, int(rng.integers(0, 2)))

    return {p["name"]: tensor(p) for p in architecture["parameters"]}


def check_same(tensors, architecture):
    """Bytes, bits and what is read, whoever wrote it."""
    (plain, bits), (data, found) = (message.encode(tensors, architecture, ends) for ends in (coders, compiled))
    assert data == plain
    assert found == pytest.approx(bits, rel=CLOSE, abs=CLOSE)
    ideal, other = (message.ideal_bits(tensors, architecture["parameters"], ends) for ends in (coders, compiled))
    assert other == pytest.approx(ideal, rel=CLOSE)
    for name, tensor in message.decode(data, architecture, ends=compiled).items():
        check_equal(tensor, tensors[name])


def check_equal(a, b):
    assert (a.codes.dtype, a.base, a.offset) == (b.codes.dtype, b.base, b.offset)
    for part in ("codes", "row_exponents", "column_exponents"):
        np.testing.assert_array_equal(getattr(a, part), getattr(b, part))


SIDE = st.one_of(st.integers(1, 4), st.integers(5, 40))
MATRIX = st.tuples(st.tuples(SIDE, SIDE), st.sampled_from(["linear", "conv1d", "embedding", "tied"]))
VECTOR = st.tuples(st.tuples(st.integers(1, 300)), st.just("vector"))
SHAPES = st.lists(st.one_of(MATRIX, MATRIX, VECTOR), max_size=4)
SCALES = st.sampled_from([0.0, 0.05, 0.3, 1.0, 3.0, 30.0, 1e6])


@given(SHAPES, st.integers(0, 2**32), SCALES, st.sampled_from([0.0, 0.1, 0.5]))
@example([((1, 40), "linear"), ((40, 1), "linear"), ((), "vector")], 0, 1.0, 0.5)
@example([((2, 2000), "linear"), ((2000, 2), "linear")], 1, 3.0, 0.5)
@PATIENT
def test_messages_bits_and_tensors_are_those_of_the_plain_loops(shapes, seed, scale, signs):
    architecture = architecture_of(shapes)
    check_same(random_tensors(architecture, seed, scale, signs), architecture)


@pytest.mark.parametrize(("rows", "columns"), [(300, 400), (60, 700), (2, 20_000), (1, 40_000)])
@pytest.mark.parametrize("scale", [0.01, 1.0, 100.0])
def test_frequencies_are_halved_alike(rows, columns, scale):
    """So many entries of a class that its frequencies, and those of signs, reach their largest sum."""
    assert rows * columns * wavefront.INCREMENT > 4 * wavefront.LARGEST_TOTAL
    architecture = architecture_of([((rows, columns), "linear")] * 2)
    check_same(random_tensors(architecture, 2, scale), architecture)


@given(st.integers(1, 15), st.booleans(), st.booleans(), st.integers(0, 2**32))
@PATIENT
def test_models_learn_the_same_whatever_the_cap_and_the_order(cap, exact, plain, seed):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 30, 2))
    values = rng.integers(-cap, cap + 1, shape, dtype=np.int32) * (1 if exact else rng.integers(1, 50, shape, dtype=np.int32))
    ends, models = (coders.Writer(), compiled.Writer()), [SignedModel(cap, exact) for _ in range(2)]
    for _ in range(2):
        for end, model in zip(ends, models):
            np.testing.assert_array_equal(model.code(end, values, plain), values)
        check_learned_the_same(*models)
    assert ends[1].message() == ends[0].message()
    assert ends[1].bits == pytest.approx(ends[0].bits, rel=CLOSE)


def check_learned_the_same(plain, other):
    assert other.mean == plain.mean
    np.testing.assert_array_equal(other.frequencies.counts, plain.frequencies.counts)
    np.testing.assert_array_equal(other.lengths, plain.lengths)


THIRDS = np.ones((1, 3), dtype=np.int64)
CUMULATIVE = (0, 5_592_404 + 1, 11_184_808 + 2, 1 << 24)  # of thirds, in constriction's fixed point


def undecided(count):
    """Symbols, each a third, whose range keeps the middle of the first range inside: whether a carry comes stays open."""
    lower, size, middle, symbols = 0, (1 << 64) - 1, 1 << 63, []
    for _ in range(count):
        scale = size >> 24
        symbols.append(max(s for s in range(3) if lower + scale * CUMULATIVE[s] <= middle))
        lower, size = lower + scale * CUMULATIVE[symbols[-1]], scale * (CUMULATIVE[symbols[-1] + 1] - CUMULATIVE[symbols[-1]])
        if size < 1 << 32:
            lower, size, middle = lower << 32, size << 32, middle << 32
    return symbols


def check_messages_of(symbols):
    """The message of every beginning of `symbols`; returns the most words that were held back."""
    writers, held = (coders.Writer(), compiled.Writer()), 0
    for symbol in symbols:
        for writer in writers:
            writer.symbols(THIRDS, np.array([symbol], dtype=np.int32))
        assert writers[1].message() == writers[0].message()
        held = max(held, int(writers[1]._state[writers[1]._kernels.HELD]))
    return held


@pytest.mark.parametrize("decision", [[0], [1], [2], [0, 0, 0, 0], [2, 2, 2, 2]])
@pytest.mark.parametrize("count", [30, 100, 101, 102, 700])
def test_carries_run_through_words_that_are_held_back(count, decision):
    symbols = [*undecided(count), *decision, *undecided(50)]
    held = check_messages_of(symbols)
    assert held >= count * np.log2(3) // 32 - 1
    for ends in (coders, compiled):
        writer = ends.Writer()
        writer.symbols(THIRDS, np.array(symbols, dtype=np.int32))
        reader = ends.Reader(writer.message())
        assert reader.symbols(THIRDS, np.zeros(len(symbols), np.int32)).tolist() == symbols
        assert reader.finished()


@given(st.lists(st.integers(0, 2), max_size=300))
@PATIENT
def test_any_symbols_make_the_same_words(symbols):
    check_messages_of(symbols)


@pytest.mark.parametrize(("words", "symbol", "finished"), [((1, 2**32 - 2), 0, True), ((1, 2**32 - 1), 0, False), ((2**32 - 1, 0xFEFFFFFF), 2, False)])
def test_a_reader_knows_its_last_words(words, symbol, finished):
    for ends in (coders, compiled):
        reader = ends.Reader(struct.pack("<2I", *words))
        assert reader.symbols(THIRDS, np.zeros(1, np.int32)).tolist() == [symbol]
        assert reader.finished() == finished


def test_a_point_just_above_the_last_symbol_is_refused():
    for ends in (coders, compiled):
        with pytest.raises(ValueError, match="invalid"):
            ends.Reader(struct.pack("<2I", 2**32 - 1, 0xFF000000)).symbols(THIRDS, np.zeros(1, np.int32))


@given(st.lists(st.integers(1, 2**31), min_size=1, max_size=256), st.integers(0, 2**32))
@PATIENT
def test_one_row_of_any_frequencies_is_coded_alike(frequencies, seed):
    symbols, row = np.random.default_rng(seed).integers(0, len(frequencies), 500).astype(np.int32), np.array([frequencies])
    plain, other = coders.Writer(), compiled.Writer()
    for writer in (plain, other):
        np.testing.assert_array_equal(writer.symbols(row, symbols), symbols)
    assert other.message() == plain.message()
    assert other.bits == pytest.approx(plain.bits, rel=CLOSE)


def outcome(data, architecture, ends):
    """What a decoder makes of a message: tensors, or the error that refuses it."""
    try:
        return message.decode(data, architecture, ends=ends)
    except InputError as error:
        return str(error)


def check_same_outcome(data, architecture):
    plain, found = (outcome(data, architecture, ends) for ends in (coders, compiled))
    if isinstance(plain, str) or isinstance(found, str):
        assert found == plain
        return plain
    for name, tensor in plain.items():
        check_equal(found[name], tensor)
    return "accepted"


def sealed(body):
    return body + struct.pack("<I", zlib.crc32(body))


FUZZED = architecture_of([((30, 20), "tied"), ((20,), "vector"), ((9, 16), "linear"), ((1, 30), "linear")])


def altered(body, rng):
    """With up to three bytes of cap and stream changed, and sometimes cut short or lengthened."""
    data = bytearray(body)
    for place in rng.integers(20, len(data), rng.integers(0, 4)):
        data[place] = rng.integers(0, 256)
    cut = rng.integers(21, len(data) + 1) if rng.random() < 0.3 else len(data)
    return bytes(data[:cut]) + bytes(rng.integers(0, 256, rng.integers(0, 9) if rng.random() < 0.2 else 0, dtype=np.uint8))


@pytest.mark.parametrize("seed", range(5))
def test_altered_messages_meet_the_same_end(seed):
    rng = np.random.default_rng(seed)
    bodies = [message.encode(random_tensors(FUZZED, rng, scale), FUZZED)[0][:-4] for scale in (0.1, 1.0, 5.0, 1e5)]
    met = {check_same_outcome(sealed(altered(bodies[k % len(bodies)], rng)), FUZZED) for k in range(400)}
    assert len(met) > 3, "the decoder was left at several points"


def test_noise_meets_the_same_end():
    rng = np.random.default_rng(6)
    frame = message.MAGIC + bytes.fromhex(ID)
    met = {check_same_outcome(sealed(frame + b"\x0f" + bytes(rng.integers(0, 256, rng.integers(0, 300), dtype=np.uint8))), FUZZED) for _ in range(400)}
    assert any(coders.INVALID in end for end in met)


def test_bits_too_close_to_call_are_added_up_by_the_plain_loops(monkeypatch):
    """So that the order of a sum never decides how a matrix is coded."""
    architecture = architecture_of([((12, 9), "linear")])
    tensors, asked, trials = random_tensors(architecture, 3, 1.0), [], message._trials
    monkeypatch.setattr(message, "_trials", lambda ends, *rest: asked.append(ends) or trials(ends, *rest))
    message.encode(tensors, architecture, compiled)
    assert asked == [compiled]
    monkeypatch.setattr(message, "_DOUBTFUL", 1.0)
    data, _ = message.encode(tensors, architecture, compiled)
    assert asked[1:] == [compiled, coders]
    assert data == message.encode(tensors, architecture, coders)[0]


def test_codes_that_may_not_be_written_to_are_left_alone():
    architecture = architecture_of([((6, 5), "linear")])
    tensors = random_tensors(architecture, 4, 2.0)
    codes = np.asfortranarray(tensors["p0"].codes)
    codes.flags.writeable = False
    locked = {"p0": CodedTensor(codes, 0, np.zeros(6, np.int16), np.zeros(5, np.int16))}
    before = codes.copy()
    check_same(locked, architecture)
    np.testing.assert_array_equal(codes, before)


def test_only_large_models_take_the_compiled_loops(monkeypatch):
    assert not compiled.pays([])
    assert not compiled.pays([(2000, 2000)])
    assert compiled.pays([(4000, 1000)] * 2)
    assert not compiled.pays([(2 * compiled.LONGEST, 4)]), "its sums might not be exact in float64"
    parameters = architecture_of([((30, 20), "linear")])["parameters"]
    assert message._faster(parameters) is coders
    monkeypatch.setattr(compiled, "SMALLEST", 600)
    assert message._faster(parameters) is compiled


def test_small_models_are_coded_without_numba():
    code = """
import sys, numpy as np
from scalebound.quantization import message
from scalebound.quantization.rate import message as rate
from scalebound.benchmarks import coder
from scalebound.quantization.rate.coded_tensor import CodedTensor
described = {"id": "00" * 16, "parameters": [{"name": "w", "shape": [2, 3], "use": "linear"}]}
tensors = {"w": CodedTensor(np.ones((2, 3), np.int32), 0, np.zeros(2, np.int16), np.zeros(3, np.int16))}
message.decode(rate.encode(tensors, described)[0], described)
sys.exit("numba" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_loops_are_compiled_where_nothing_can_be_kept(monkeypatch):
    from scalebound.quantization.rate import kernels

    def njit(function, cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return function, options

    monkeypatch.setattr(kernels.numba, "njit", njit)
    assert kernels.compiled(len) == (len, {"error_model": "numpy"})


@given(st.integers(0, 2**62))
@PATIENT
def test_classes_lie_between_their_edges(value):
    from scalebound.quantization.rate import kernels

    edges = compiled._padded(wavefront.EDGES)
    for near in (value, *(int(edge) + d for edge in wavefront.EDGES for d in (-1, 0, 1)), -value):
        assert kernels.class_of(edges, near) == np.searchsorted(wavefront.EDGES, near, side="right")


@given(st.integers(0, 2**53 - 1), st.integers(1, 2**62))
@PATIENT
def test_quotients_are_rounded_down_exactly(a, b):
    from scalebound.quantization.rate import kernels

    for over in (b, 1 + b % 1000, 1 + a // (1 + b % 1000)):
        assert kernels._quotient(a, over) == a // over
        assert kernels._quotient(a // over * over, over) == a // over


def test_rates_are_told_of_every_work_and_both_loops():
    rates = coder.coder_rates(10_000, seed=0)
    assert set(rates) == {f"{work}, {name} loops" for work in ("encode", "decode", "meter") for name in ("plain", "compiled")}
    assert min(rates.values()) > 0
