"""Spectral density of the Hessian of the mean token loss, by stochastic Lanczos quadrature on calibration windows."""

from scalebound.artifacts import atomic, windows
from scalebound.artifacts.provenance import identity, read_json
from scalebound.commands.arguments import add_settings, read_settings
from scalebound.configuration.config import Scoring, parse
from scalebound.configuration.studies import Hessian
from scalebound.curvature import quadrature
from scalebound.errors import InputError
from scalebound.progress import progress

GROUP = "studies"

# tokens of one double backward pass: beyond this a CPU is limited by its caches, a GPU by its memory
TOKENS_PER_BATCH = {"cpu": 1024, "cuda": 8192}


def add_arguments(parser):
    add_settings(parser, Hessian)
    parser.add_argument("--model", required=True, help="resolved.json")
    parser.add_argument("--calibration", required=True, help="windows.parquet of the calibration draw")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--out", required=True, help="hessian.json: nodes and weights of each probe, or why there are none")


def run(arguments):
    settings = read_settings(arguments, Hessian)
    described = read_json(arguments.model, "resolve", {"n_params": int, "checkpoint": dict})
    content = {"checkpoint": described["checkpoint"]["slug"], "n_params": described["n_params"]}
    inputs = {"model": arguments.model, "calibration": arguments.calibration}
    if described["n_params"] > settings.max_parameters:
        reason = f"skipped: more than max_parameters {settings.max_parameters}"
        content |= {"status": reason, "loss": None, "gradient_norm": None, "probes": [], "identity": identity("hessian", inputs, settings.model_dump())}
    else:
        content |= _computed(arguments, settings, inputs)
    atomic.write_json(arguments.out, content)
    print(f"{content['n_params']} parameters, {settings.probes} probes of {settings.steps} steps: {content['status']}")
    return [arguments.out]


def _computed(arguments, settings, inputs):
    import torch

    from scalebound.curvature.loss_hessian import LossHessian
    from scalebound.models import files, loading

    torch.set_num_threads(arguments.threads)
    device = files.choose_device(parse(Scoring, {"device": arguments.device}, "--device").device)
    _, tokens, _ = windows.read(arguments.calibration)
    if settings.windows > len(tokens):
        found = f"studies.hessian.windows {settings.windows}, the draw has {len(tokens)}"
        raise InputError(arguments.calibration, found, "Lower it, or raise sampling.calibration.windows")
    description = files.read_description(arguments.model)
    model, causality = loading.load_described(description, device, "float32", tokens.shape[1] - 1)
    size = max(1, TOKENS_PER_BATCH[device.type] // (tokens.shape[1] - 1))
    hessian = LossHessian(model, tokens[: settings.windows], size)
    loss, norm = hessian.loss_and_gradient_norm()
    made_of = identity(
        "hessian",
        inputs,
        settings.model_dump(),
        packages=["torch", "transformers", "scipy"],
        model_files=description["files"],
        device=files.device_name(device),
        dtype="float32",
        windows_per_batch=size,
        threads=arguments.threads,
        causality=causality,
    )
    return {"status": "computed", "loss": loss, "gradient_norm": norm, "probes": probes(hessian, settings, device, arguments.model), "identity": made_of}


def probes(hessian, settings, device, name):
    """The recurrence of each probe with the nodes, weights and residuals that follow from it."""
    import torch

    from scalebound.curvature.lanczos import lanczos

    done = []
    with progress(settings.probes * settings.steps, "products", f"hessian of {name} on {device.type}") as bar:

        def product(vector):
            bar.update(1)
            return hessian.product(vector)

        for probe in range(settings.probes):
            start = torch.from_numpy(quadrature.signs(settings.seed, probe, hessian.size)).to(device)
            recurrence = lanczos(product, start, settings.steps)
            done.append({"alpha": recurrence.alpha, "beta": recurrence.beta, **quadrature.described(recurrence.alpha, recurrence.beta)})
    return done
