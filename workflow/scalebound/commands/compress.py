"""Compress a checkpoint into the shortest code of a good hypothesis: rounding by sensitivity, tuning, entropy coding."""

from pathlib import Path

from scalebound.artifacts import atomic, windows
from scalebound.artifacts.architecture import read_architecture
from scalebound.artifacts.provenance import describe_files, identity, read_json
from scalebound.commands.arguments import add_settings, read_settings
from scalebound.configuration.config import Scoring, parse
from scalebound.configuration.rate import RateSettings
from scalebound.errors import InputError
from scalebound.quantization.message import code_length_bits
from scalebound.quantization.rate import message, storage
from scalebound.quantization.round_trip import check_round_trip

GROUP = "codes"


def add_arguments(parser):
    add_settings(parser, RateSettings)
    parser.add_argument("--model", required=True, help="resolved.json")
    parser.add_argument("--architecture", required=True, help="architecture.json")
    parser.add_argument("--calibration", required=True, help="windows.parquet of the calibration draw")
    parser.add_argument("--tuning", required=True, help="windows.parquet of the tuning draw, used in order")
    parser.add_argument("--price", help="price.json, where the settings name no exchange")
    parser.add_argument("--predictions", required=True, type=int, help="tokens that the checkpoint was trained on")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--out", required=True, help="codes.safetensors: codes and step exponents of every parameter")
    parser.add_argument("--out-message", required=True, help="model.sbq")
    parser.add_argument("--out-report", required=True, help="code.json: bytes, code length, bits per parameter, rates weighed, share of training")


def run(arguments):
    import torch

    from scalebound.models import files, loading
    from scalebound.quantization.rate.compress import compress

    settings, architecture = _priced(read_settings(arguments, RateSettings), arguments.price), read_architecture(arguments.architecture)
    # as many as the training had: a sum's order, and with it every bit of the result, does not depend on the machine's load
    torch.set_num_threads(arguments.threads)
    calibration, tuning = (windows.read(path)[1] for path in (arguments.calibration, arguments.tuning))
    description = files.read_description(arguments.model)
    device = files.device_for(parse(Scoring, {"device": arguments.device}, "--device").device, description, "float32")
    model, causality = loading.load_described(description, device, "float32", calibration.shape[1] - 1)
    made_of = identity(
        "compress",
        {name: path for name in ("model", "architecture", "calibration", "tuning", "price") if (path := getattr(arguments, name)) is not None},
        {**read_settings(arguments, RateSettings).model_dump(), "predictions": arguments.predictions},
        packages=["torch", "transformers", "constriction"],
        model_files=description["files"],
        device=files.device_name(device),
        dtype="float32",
        threads=arguments.threads,
        causality=causality,
    )
    # what was measured of the model may differ in its last bit from one process to the next
    unfinished = arguments.unfinished(Path(arguments.out_report).parent, {**made_of, "causality": None})
    found = compress(model, architecture["parameters"], settings, calibration, tuning, arguments.predictions, unfinished)
    data, sizes = message.encode(found.tensors, architecture)
    check_round_trip(found.tensors, message.decode(data, architecture))
    storage.write(arguments.out, found.tensors, made_of)
    atomic.write_bytes(arguments.out_message, data)
    coded, n_params = code_length_bits(len(data)), architecture["n_params"]
    report = {
        "identity": made_of,
        "files": describe_files(Path(arguments.out_message).parent, [Path(arguments.out_message).name]),
        "bytes": len(data),
        "code_length_bits": coded,
        "coded_bits_per_param": coded / n_params,
        # there is no nominal length of such a code: the real one stands in its place
        "nominal_bits": coded,
        "nominal_bits_per_param": coded / n_params,
        "n_params": n_params,
        "exchange": settings.exchange,
        "bits_by_parameter": sizes,
        **found.report(),
    }
    atomic.write_json(arguments.out_report, report)
    if found.notice():
        print(f"notice: {found.notice()}")
    print(f"{len(data)} bytes: {coded / n_params:.3f} bits per parameter, tuned on {found.share_of_training:.2f} of the training tokens, on {device.type}")
    return [arguments.out, arguments.out_message, arguments.out_report]


def _priced(settings, path):
    """The settings with their exchange, which is that of price.json where they name none."""
    if (settings.exchange is None) != (path is not None):
        raise InputError("--price", f"{path}, and exchange {settings.exchange}", "Give price.json exactly where the settings name no exchange")
    if path is None:
        return settings
    return settings.model_copy(update={"exchange": read_json(path, "price", {"exchange": float})["exchange"]})
