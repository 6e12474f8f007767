"""Write the quantized model as one message, model.sbq, and report its length."""

from pathlib import Path

from scalebound.artifacts import atomic
from scalebound.artifacts.architecture import read_architecture
from scalebound.artifacts.provenance import describe_files, identity
from scalebound.commands.arguments import add_settings, read_settings
from scalebound.configuration.config import GridQuantizer
from scalebound.errors import InputError
from scalebound.quantization import message, storage
from scalebound.quantization.round_trip import check_round_trip

GROUP = "codes"


def add_arguments(parser):
    add_settings(parser, GridQuantizer)
    parser.add_argument("--codes", required=True, help="codes.safetensors")
    parser.add_argument("--architecture", required=True, help="architecture.json")
    parser.add_argument("--out", required=True, help="model.sbq")
    parser.add_argument("--out-report", required=True, help="code.json: bytes, code length, bits per parameter")


def run(arguments):
    settings = read_settings(arguments, GridQuantizer)
    architecture, tensors = read_architecture(arguments.architecture), storage.read(arguments.codes)
    _check_names(tensors, architecture, arguments.codes)
    sizes = _write(arguments.out, tensors, architecture)
    made_of = identity("encode", {"codes": arguments.codes, "architecture": arguments.architecture}, settings.model_dump(), packages=["numpy"])
    size = Path(arguments.out).stat().st_size
    n_params, coded = architecture["n_params"], message.code_length_bits(size)
    report = {
        "identity": made_of,
        "files": describe_files(Path(arguments.out).parent, [Path(arguments.out).name]),
        "bytes": size,
        "code_length_bits": coded,
        "coded_bits_per_param": coded / n_params,
        # the paper's accounting: b bits for each of the N parameters, scales and exceptions left out
        "nominal_bits": settings.bits * n_params,
        "nominal_bits_per_param": settings.bits,
        "n_params": n_params,
        "gptq_share": storage.gptq_share(arguments.codes),
        "bits_by_parameter": sizes,
    }
    atomic.write_json(arguments.out_report, report)
    print(f"{size} bytes: {coded / n_params:.3f} bits per parameter, nominal {settings.bits}")
    return [arguments.out, arguments.out_report]


def _write(path, tensors, architecture):
    """Write the message, and read it again before it appears; {parameter name: bits it takes}."""
    with atomic.replacing(path) as temporary:
        with temporary.open("wb") as file:
            sizes = message.write(file.write, tensors, architecture)
        check_round_trip(tensors, message.opened(temporary.read_bytes(), architecture, path))
    return sizes


def _check_names(tensors, architecture, path):
    odd = sorted(set(tensors) ^ {parameter["name"] for parameter in architecture["parameters"]})
    if odd:
        raise InputError(path, f"it and the architecture differ in parameter {odd[0]!r}", "Quantize again")
