"""Scoring speed of randomly initialised models in Pythia's shapes: tokens a second, memory, and the statistics' share of the time."""

import time

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from scalebound.errors import InputError

GROUP = "the project itself"
EXAMPLE = "--shapes 70m 160m --windows 2"

# hidden size, layers, heads, output width: the published configurations
SHAPES = {
    "70m": (512, 6, 8, 50304),
    "160m": (768, 12, 12, 50304),
    "410m": (1024, 24, 16, 50304),
    "1b": (2048, 16, 8, 50304),
    "1.4b": (2048, 24, 16, 50304),
    "2.8b": (2560, 32, 32, 50304),
    "6.9b": (4096, 32, 32, 50432),
    "12b": (5120, 36, 40, 50688),
}


def add_arguments(parser):
    parser.add_argument("--shapes", nargs="+", default=["70m"], choices=list(SHAPES))
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--windows", type=int, default=8, help="windows of 2048 predictions")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--repetitions", type=int, default=3, help="the best of so many is shown")


def run(arguments):
    import torch

    from scalebound.models import files

    if min(arguments.windows, arguments.threads, arguments.repetitions) < 1:
        raise InputError("bench-score", "a count below 1", "Give at least one window, thread and repetition")
    torch.set_num_threads(arguments.threads)
    device = files.choose_device(arguments.device)
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("model", "parameters", "tokens/s", "peak memory", "statistics / forward pass"):
        table.add_column(name, justify="right")
    for shape in arguments.shapes:
        table.add_row(shape, *_measure(shape, arguments, device))
    Console().print(table)
    print(f"{files.device_name(device)}, {arguments.dtype}, {arguments.windows} windows of 2048 predictions, {arguments.threads} CPU threads")
    return []


def _measure(shape, arguments, device):
    import psutil
    import torch

    from scalebound.models.loading import DTYPES
    from scalebound.scoring import scoring

    model = _model(shape, DTYPES[arguments.dtype], device)
    tokens = np.random.default_rng(0).integers(0, SHAPES[shape][3], size=(arguments.windows, 2049))
    size = scoring.batch_windows(model, 2048)

    def forward():
        with torch.inference_mode():
            for start in range(0, len(tokens), size):
                inputs = torch.as_tensor(tokens[start : start + size, :-1], device=device)
                for states in model.base_model(input_ids=inputs).last_hidden_state.flatten(0, 1).split(1024):
                    model.get_output_embeddings()(states)

    scored, passed = (_best(work, arguments.repetitions, device) for work in (lambda: scoring.score(model, tokens, size, shape), forward))
    memory = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else psutil.Process().memory_info().rss
    parameters = sum(p.numel() for p in model.parameters())
    return f"{parameters / 1e6:.0f} M", f"{tokens[:, 1:].size / scored:,.0f}", f"{memory / 1e9:.1f} GB", f"{max(0.0, scored - passed) / passed:.2f}"


def _model(shape, dtype, device):
    import torch
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    hidden, layers, heads, vocabulary = SHAPES[shape]
    sizes = {"hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads, "intermediate_size": 4 * hidden}
    config = GPTNeoXConfig(vocab_size=vocabulary, max_position_embeddings=2048, rotary_pct=0.25, use_cache=False, **sizes)
    with torch.device("meta"):
        model = GPTNeoXForCausalLM(config)
    model = model.to(dtype).to_empty(device=device).eval()
    generator = torch.Generator(device=device).manual_seed(0)
    for parameter in model.parameters():
        parameter.data.normal_(0, 0.02, generator=generator)
    # the buffers of the rotary embedding were empty as well
    model.gpt_neox.rotary_emb = type(model.gpt_neox.rotary_emb)(config).to(device)
    return model


def _best(work, repetitions, device):
    import torch

    times = []
    for _ in range(repetitions):
        started = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - started)
    return min(times)
