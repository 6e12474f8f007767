"""Map every parameter of a checkpoint to integers and scales, by a method of `quantization/methods.py`."""

from scalebound.artifacts import atomic, windows
from scalebound.artifacts.architecture import read_architecture
from scalebound.artifacts.provenance import identity
from scalebound.commands.arguments import add_settings, read_settings
from scalebound.configuration.config import GridQuantizer, Scoring, parse

GROUP = "codes"


def add_arguments(parser):
    add_settings(parser, GridQuantizer)
    parser.add_argument("--model", required=True, help="resolved.json")
    parser.add_argument("--architecture", required=True, help="architecture.json")
    parser.add_argument("--calibration", required=True, help="windows.parquet of the calibration draw")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--out", required=True, help="codes.safetensors: codes, scales and zeros of every parameter")
    parser.add_argument("--out-report", required=True, help="quantization.json: share that GPTQ rounded, method, damping and error of every parameter")


def run(arguments):
    import torch

    from scalebound.models import files, loading
    from scalebound.quantization import storage
    from scalebound.quantization.whole_model import gptq_share, quantize_model

    settings = read_settings(arguments, GridQuantizer)
    torch.set_num_threads(arguments.threads)
    architecture = read_architecture(arguments.architecture)
    _, tokens, _ = windows.read(arguments.calibration)
    description = files.read_description(arguments.model)
    # one device has room enough, whatever the model's size: of its blocks, one is there at a time
    device = files.choose_device(parse(Scoring, {"device": arguments.device}, "--device").device)
    model, weights, causality = loading.load_by_block(files.folder_of(description), device, tokens.shape[1] - 1, files.weights_of(description))
    done = quantize_model(model, architecture["parameters"], settings, tokens[:, :-1], arguments.model, weights)
    made_of = identity(
        "quantize",
        {"model": arguments.model, "architecture": arguments.architecture, "calibration": arguments.calibration},
        settings.model_dump(),
        packages=["torch", "transformers"],
        model_files=description["files"],
        device=files.device_name(device),
        dtype="float32",
        threads=arguments.threads,
        causality=causality,
    )
    share = {"gptq_share": gptq_share(done, architecture["parameters"])}
    storage.write(arguments.out, {name: q.tensor for name, q in done.items()}, {**made_of, **share})
    atomic.write_json(arguments.out_report, {"identity": made_of, **share, "parameters": [_line(name, q) for name, q in done.items()]})
    escalated = sorted(name for name, q in done.items() if q.escalated)
    if escalated:
        print(f"notice: damping was raised above {settings.damping} for {len(escalated)} layers, {escalated[0]} among them")
    print(f"{len(done)} parameters at {settings.bits} bits by {settings.method} on {device.type}, GPTQ share {share['gptq_share']:.2f}")
    return [arguments.out, arguments.out_report]


def _line(name, quantized):
    tensor = quantized.tensor
    return {
        "name": name,
        "method": quantized.method,
        "bits": tensor.bits,
        "group": tensor.group,
        "entries": quantized.entries,
        "gptq_share": quantized.share,
        "damping": quantized.damping,
        "damping_escalated": quantized.escalated,
        "squared_error": quantized.squared_error,
    }
