"""`model.sbq` of entropy-coded integers: format "SBQ2", one message from which a model is rebuilt bit for bit.

Layout, little endian:

    4 bytes   magic "SBQ2"
    16 bytes  architecture id
    1 byte    cap: magnitudes below it have a frequency of their own; 64 is added when none is above it
    stream    of 32-bit words, one range coder (constriction) for everything:
                  per parameter: which of {row exponents, column exponents, an offset of 1, plain order} it has
                  per parameter: exponent of its step, as a difference from the parameter before
                  exponents of rows and columns where a parameter has them
                  codes, parameter by parameter
    4 bytes   CRC-32 of everything before it

Names and shapes are not in the message: the architecture fixes them before any data is seen. numpy and constriction only,
and numba for large models, whose compiled loops write and read the same message.
"""

import copy
import struct
import zlib

import numpy as np

from scalebound.errors import InputError
from scalebound.quantization.integers import matrix_view
from scalebound.quantization.rate import coders, compiled
from scalebound.quantization.rate.coded_tensor import LARGEST_CODE, CodedTensor, check
from scalebound.quantization.rate.signed import SignedModel
from scalebound.quantization.rate.steps import HIGHEST, LOWEST
from scalebound.quantization.rate.wavefront import LARGEST_TOTAL

MAGIC = b"SBQ2"
LARGEST_CAP = 15
_SIDE_CAP = 15
_EXACT = 64
_DOUBTFUL = 1e-9  # bits so close to each other are added up again by the plain loops, so that rounding never makes another message
_HEADER, _TRAILER = len(MAGIC) + 17, 4
_ROWS, _COLUMNS, _OFFSET, _PLAIN = 1, 2, 4, 8


def encode(tensors, architecture, ends=None):
    """(message, {parameter name: bits it takes}) of {parameter name: CodedTensor}.

    Bits are ideal code lengths, fractions included; with header, flags and rounding to words they add up to the message.
    `ends`: `coders` or `compiled`, whose messages are the same; None: what is faster for so many weights.
    """
    parameters = architecture["parameters"]
    ends = ends or _faster(parameters)
    ordered, cap, flags = _plan(ends, tensors, parameters)
    writer = ends.Writer()
    _, sizes = _code(writer, parameters, cap, ordered, flags)
    body = MAGIC + bytes.fromhex(architecture["id"]) + bytes([cap]) + writer.message()
    return body + struct.pack("<I", zlib.crc32(body)), sizes


def ideal_bits(tensors, parameters, ends=None):
    """Length in bits that `encode` comes close to from above, of {parameter name: CodedTensor} for the architecture's parameters."""
    ends = ends or _faster(parameters)
    ordered, cap, flags = _plan(ends, tensors, parameters)
    meter = ends.Meter()
    _code(meter, parameters, cap, ordered, flags)
    return meter.bits + 8 * (_HEADER + _TRAILER)


def decode(message, architecture, where="model.sbq", ends=None):
    """{parameter name: CodedTensor} of a message.

    Raises:
        InputError: not such a message, of another architecture, truncated, altered, or with bytes left over.
    """
    cap, stream = _checked(message, architecture, where)
    _check_plausible(len(stream), architecture, where)
    try:
        reader = (ends or _faster(architecture["parameters"])).Reader(stream)
        tensors, _ = _code(reader, architecture["parameters"], cap, None, None)
        if not reader.finished():
            raise ValueError("bytes left over")
    except ValueError as error:
        raise InputError(where, f"its SBQ2 stream is unreadable ({error})", "Encode the model again") from None
    return {p["name"]: t for p, t in zip(architecture["parameters"], tensors)}


def _faster(parameters):
    """The module whose Meter, Writer and Reader are the faster ones for the architecture's parameters; their messages are the same."""
    shapes = [matrix_view(p["shape"], p["use"]) for p in parameters]
    return compiled if compiled.pays(shapes) else coders


class _Models:
    """Everything that is learned while one message is coded."""

    def __init__(self, cap):
        self.cap, self.exact = cap & ~_EXACT, bool(cap & _EXACT)
        self.exponents, self.bases, self.by_kind = SignedModel(_SIDE_CAP), SignedModel(_SIDE_CAP), {}
        self.flags = np.ones((1, 16), dtype=np.int64)

    def codes(self, use):
        """One model for vectors and one for matrices."""
        if (use == "vector") not in self.by_kind:
            self.replace(use, SignedModel(self.cap, self.exact))
        return self.by_kind[use == "vector"]

    def replace(self, use, model):
        self.by_kind[use == "vector"] = model


def _code(coder, parameters, cap, tensors, flags):
    """(tensors, {name: bits spent on it, of a Meter}); `tensors` and `flags` are None when `coder` reads."""
    models, sizes = _Models(cap), {}
    shapes = [matrix_view(p["shape"], p["use"]) for p in parameters]
    flags = _code_flags(coder, models, flags, len(parameters))
    bases = _code_bases(coder, models, None if tensors is None else [t.base for t in tensors], len(parameters))
    done = []
    for k, (parameter, (rows, columns)) in enumerate(zip(parameters, shapes)):
        before = getattr(coder, "bits", 0.0)
        given = tensors[k] if tensors is not None else None
        row_exponents = _code_exponents(coder, models, given and given.row_exponents, rows, flags[k] & _ROWS)
        column_exponents = _code_exponents(coder, models, given and given.column_exponents, columns, flags[k] & _COLUMNS)
        codes = np.zeros((rows, columns), dtype=np.int32) if given is None else given.codes.astype(np.int32, copy=False)
        codes = models.codes(parameter["use"]).code(coder, codes, plain=bool(flags[k] & _PLAIN))
        tensor = CodedTensor(codes, int(bases[k]), row_exponents, column_exponents, int(bool(flags[k] & _OFFSET)))
        if given is None:
            _check_read(tensor, parameter["name"])
        done.append(tensor)
        sizes[parameter["name"]] = getattr(coder, "bits", 0.0) - before
    return done, sizes


def _code_flags(coder, models, flags, count):
    found = []
    for k in range(count):
        flag = int(coder.symbols(models.flags, np.array([0 if flags is None else flags[k]], dtype=np.int32))[0])
        models.flags[0, flag] += 8
        found.append(flag)
    return found


def _code_bases(coder, models, bases, count):
    differences = np.zeros(count, dtype=np.int32) if bases is None else np.diff(np.array(bases, dtype=np.int32), prepend=np.int32(0))
    return np.cumsum(models.bases.code(coder, differences).astype(np.int64))


def _code_exponents(coder, models, given, count, present):
    if not present:
        return np.zeros(count, dtype=np.int16)
    values = np.zeros(count, dtype=np.int32) if given is None else given.astype(np.int32)
    found = models.exponents.code(coder, values)
    if np.abs(found).max(initial=0) > HIGHEST - LOWEST:
        raise ValueError("a step exponent out of range")
    return found.astype(np.int16)


def _flags(tensor):
    return _ROWS * bool(tensor.row_exponents.any()) | _COLUMNS * bool(tensor.column_exponents.any()) | _OFFSET * tensor.offset


def _plan(ends, tensors, parameters):
    """(tensors in order, cap, flags): all that the encoder decides. Raises InputError for tensors that are no such parameters."""
    ordered = [tensors[p["name"]] for p in parameters]
    for parameter, tensor in zip(parameters, ordered):
        _check_shape(tensor, parameter)
        check(tensor, parameter["name"])
    largest = max([1, *(int(np.abs(t.codes).max()) for t in ordered if t.codes.size)])
    cap = largest | _EXACT if largest <= LARGEST_CAP else LARGEST_CAP
    models, flags = _Models(cap), []
    for tensor, parameter in zip(ordered, parameters):
        plain = min(tensor.codes.shape) > 1 and _plain_is_shorter(ends, models, tensor, parameter["use"])
        flags.append(_flags(tensor) | _PLAIN * plain)
    return ordered, cap, flags


def _plain_is_shorter(ends, models, tensor, use):
    """Whether a matrix takes fewer bits with rows and columns ignored, after what `models` learned, which then learns from it."""
    trials = _trials(ends, models, tensor, use)
    bits = [trial[0] for trial in trials]
    if abs(bits[0] - bits[1]) <= _DOUBTFUL * max(bits):
        trials = _trials(coders, models, tensor, use)
    _, plain, better = min(trials, key=lambda t: t[:2])
    models.replace(use, better)
    return plain


def _trials(ends, models, tensor, use):
    """[(bits, plain, what was learned)] of a matrix coded with rows and columns and without."""
    trials = []
    for plain in (False, True):
        meter, trial = ends.Meter(), copy.deepcopy(models.codes(use))
        trial.code_magnitudes(meter, tensor.codes, plain)  # signs take the same bits either way
        trials.append((meter.bits, plain, trial))
    return trials


def _checked(message, architecture, where):
    """(cap, stream) of a message whose frame is sound."""
    if len(message) < _HEADER + _TRAILER or message[:4] != MAGIC:
        raise InputError(where, f"starts with {message[:4]!r}, not {MAGIC!r}", "Give a file that `scalebound encode` wrote")
    body, (stored,) = message[:-_TRAILER], struct.unpack("<I", message[-_TRAILER:])
    if zlib.crc32(body) != stored:
        raise InputError(where, "its checksum does not match: truncated or altered", "Encode the model again")
    found = body[4:20].hex()
    if found != architecture["id"]:
        raise InputError(where, f"architecture {found}, expected {architecture['id']}", "Decode with the architecture it was encoded for")
    if not 1 <= body[20] & ~_EXACT <= LARGEST_CAP:
        raise InputError(where, f"SBQ2 with a cap of {body[20] & ~_EXACT}, expected 1 to {LARGEST_CAP}", "Encode the model again")
    return body[20], body[_HEADER:]


def _check_plausible(n_bytes, architecture, where):
    """Refuse, before anything is allocated, a stream too short for the entries that the architecture declares.

    No frequency is more than all but one of LARGEST_TOTAL, so every entry takes at least 1 / LARGEST_TOTAL nats.
    """
    entries = sum(rows * columns for rows, columns in (matrix_view(p["shape"], p["use"]) for p in architecture["parameters"]))
    if entries > (8 * n_bytes + 64) * LARGEST_TOTAL // 2:
        raise InputError(where, f"an SBQ2 stream of {n_bytes} bytes for {entries} entries", "Encode the model again")


def _check_shape(tensor, parameter):
    expected = matrix_view(parameter["shape"], parameter["use"])
    if tensor.codes.shape != expected:
        raise InputError(parameter["name"], f"codes {tensor.codes.shape}, the architecture has {expected}", "Quantize again")


def _check_read(tensor, name):
    try:
        check(tensor, name)
    except InputError as error:
        raise ValueError(f"{name}: {error.found}") from None
    if tensor.codes.size and np.abs(tensor.codes).max() > LARGEST_CODE:
        raise ValueError(f"{name}: a code beyond {LARGEST_CODE}")
