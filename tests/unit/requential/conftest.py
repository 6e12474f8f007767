"""A small run on a stream that is easy to learn, and models of a vocabulary so small that every token can be enumerated."""

import numpy as np
import pytest
import torch

from scalebound.configuration.config import TrainingRun
from scalebound.corpus.rows import Rows

RUN = {
    "stream": "s",
    "hidden_size": 8,
    "layers": 1,
    "heads": 2,
    "batch_rows": 2,
    "steps": 40,
    "learning_rate": 0.02,
    "warmup_steps": 4,
    "keep_every": 40,
    "initializer_range": 0.1,
    "seed": 3,
}


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def run():
    """Settings of a run, changed where asked."""
    return lambda **changes: TrainingRun(**RUN | changes)


@pytest.fixture(scope="session")
def rows(tmp_path_factory):
    """Rows of 9 tokens that count upwards modulo 7, each from a place of its own; a vocabulary of 8."""
    path, starts = tmp_path_factory.mktemp("stream") / "tokens.bin", np.random.Generator(np.random.PCG64(1)).integers(0, 7, 200)
    ((starts[:, None] + np.arange(9)) % 7).astype("<u2").tofile(path)
    return Rows(path, 200, 9, 8)
