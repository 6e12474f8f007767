"""A released model's way from its files to decoded weights, in Pythia's shapes with random weights in bfloat16: the most memory of each step.

Each is a process of its own whose address space is limited, as by `ulimit -v`: to the mapped files, the codes, what lies around the decoder blocks as
float32, and room for the largest matrix and its second moments. The model as float32 has no room beside them.
"""

import json
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from scalebound.artifacts import windows
from scalebound.benchmarks.lines import Line
from scalebound.benchmarks.scoring import SHAPES, random_model

WINDOWS, INPUTS = 4, 64
ROOM = 2**30 * 5 // 2  # bytes of address space that Python and torch take, most of it never used
QUANTIZER = '{"method": "gptq", "bits": 4}'


def measure(shape):
    """The Lines of `resolve`, `quantize` by GPTQ at 4 bits, `encode` and `decode` of one of SHAPES."""
    with tempfile.TemporaryDirectory(prefix="scalebound-") as folder:
        # in another process: what this one had would be counted as theirs
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            entries = pool.apply(_save, (shape, Path(folder)))
        for stage, words in _commands(Path(folder)).items():
            limit = address_space(shape, entries)
            record, name = _run(stage, words, Path(folder) / "run.json", limit), f"{stage} ({shape}, {limit / 2**30:.1f} GiB of address space)"
            yield Line(f"{name}, CPU time", record["cpu_s"], "s")
            yield Line(f"{name}, most memory", record["peak_rss_bytes"] / 2**30, "GiB")


def address_space(shape, entries):
    """Bytes that each process gets for a model of so many parameters."""
    width, _, _, vocabulary = SHAPES[shape]
    around, largest = 2 * vocabulary * width, max(vocabulary, 4 * width) * width
    # the library maps a file twice while it opens it
    return ROOM + max(4 * entries, 3 * entries + 4 * around + 16 * largest + 4 * 8 * (4 * width) ** 2)


def _save(shape, folder):
    model = random_model(shape, torch.bfloat16, torch.device("cpu"))
    model.save_pretrained(folder / "model")
    tokens = np.random.default_rng(0).integers(0, SHAPES[shape][3], size=(WINDOWS, INPUTS + 1))
    windows.write(folder / "windows.parquet", np.arange(WINDOWS), tokens, {"stage": "sample"})
    return sum(p.numel() for p in model.parameters())


def _commands(folder):
    """{stage: its words}."""
    row = {"slug": "random", "family": "bench", "source": "local", "repo": str(folder / "model"), "revision": "-", "step": 1}
    made = {name: str(folder / name) for name in ("resolved.json", "architecture.json", "codes.safetensors", "model.sbq")}
    resolved, architecture, codes, message = made.values()
    checkpoint = ["--settings", json.dumps(row | {"tokens_seen": 1, "stream": "none"})]
    calibration = ["--calibration", str(folder / "windows.parquet")]
    quantizer = ["--settings", QUANTIZER, "--architecture", architecture]
    return {
        "resolve": [*checkpoint, "--folder", str(folder / "model"), "--out", resolved, "--out-architecture", architecture],
        "quantize": [*quantizer, "--model", resolved, *calibration, "--device", "cpu", "--out", codes, "--out-report", str(folder / "quantization.json")],
        "encode": [*quantizer, "--codes", codes, "--out", message, "--out-report", str(folder / "code.json")],
        "decode": ["--architecture", architecture, "--message", message, "--out", str(folder / "decoded")],
    }


def _run(stage, words, record, limit):
    """The run record of a command that has so many bytes of address space."""
    command = [sys.executable, "-m", "scalebound", stage, *words, "--record", str(record)]
    # every thread may reserve address space for what it allocates
    alone = os.environ | {"OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
    limited = lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit))  # noqa: E731
    subprocess.run(command, check=True, env=alone, preexec_fn=limited, stdout=subprocess.DEVNULL)
    return json.loads(record.read_text())
