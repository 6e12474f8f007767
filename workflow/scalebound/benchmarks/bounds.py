"""Every bound of a large sample from its file, in a process of its own: time, and the most memory that it took."""

import multiprocessing
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from scalebound.artifacts.provenance import KEY
from scalebound.benchmarks.lines import Line, Measured

POSITIONS, PER_PART, VOCABULARY = 2048, 512, 50304
BITS_PER_PARAMETER, TOKENS_PER_PARAMETER = 4, 20


def measure(tokens):
    """The Lines of a sample of about so many tokens, with the default grids: 1000 values of s and 40 of alpha."""
    with tempfile.TemporaryDirectory(prefix="scalebound-") as folder:
        path = _scores(Path(folder) / "scores.parquet", max(1, tokens // POSITIONS))
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            found = {name: pool.apply(_timed, (name, path)) for name in ("estimates", "certificate")}
    for name, (wall, cpu, peak) in found.items():
        about = f"{name} from {tokens / 1e6:.0f} M tokens"
        yield Line(f"{about}, wall time", wall, "s", "<= 120" if name == "estimates" else "")
        yield Line(f"{about}, CPU time", cpu, "s")
        yield Line(f"{about}, most memory", peak / 2**30, "GiB", "<= 2")


def _timed(name, path):
    from scalebound.artifacts.scores import open_scores
    from scalebound.bounds.certificate import CertificateSettings, certify_scores
    from scalebound.bounds.evaluation import Problem, evaluate
    from scalebound.bounds.token_scores import mean_loss
    from scalebound.configuration.config import Bound

    n = 10**10
    bits = n // TOKENS_PER_PARAMETER * BITS_PER_PARAMETER
    with Measured() as taken:
        scores, _ = open_scores(path, VOCABULARY)
        if name == "estimates":
            evaluate(Problem(scores, mean_loss(scores), n), bits, Bound())
        else:
            certify_scores(scores, n, bits, CertificateSettings())
    return taken.wall, taken.cpu, taken.peak


def _scores(path, windows):
    """scores.parquet of random losses, written a part at a time."""
    random = np.random.default_rng(0)
    metadata = {KEY: b'{"stage": "score", "inputs": {}, "settings": {}}'}
    columns = {"window": pa.int32(), "position": pa.int32(), "nll": pa.float32(), "entropy": pa.float32()}
    schema = pa.schema(columns, metadata=metadata)
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for start in range(0, windows, PER_PART):
            count = min(PER_PART, windows - start)
            entropy = random.gamma(2.0, 1.3, (count, POSITIONS)).clip(max=np.log(VOCABULARY)).astype(np.float32)
            nll = (entropy * random.exponential(1.0, entropy.shape)).astype(np.float32)
            window, position = np.divmod(np.arange(count * POSITIONS, dtype=np.int32), np.int32(POSITIONS))
            writer.write_table(pa.table([window + start, position, nll.ravel(), entropy.ravel()], schema=schema))
    return path
