"""The online bound along the stream: its terms by parts of the stream, and the bounds over all positions from a share of it on: along_stream.csv.

From the whole stream on the left to its last part on the right, a bound about what a model was trained on becomes one about text that an
earlier model had not seen and the final one has hardly changed for. Estimates.
"""

import numpy as np
import pandas as pd

from scalebound.artifacts import windows
from scalebound.artifacts.provenance import check_keys, file_sha256, read_json
from scalebound.artifacts.scores import read_pair_scores, read_scores, windows_digest
from scalebound.bounds.ceilings import family_of, grids_of
from scalebound.bounds.certificate import plug_in
from scalebound.bounds.evaluation import evaluate_online
from scalebound.bounds.later_part import first_row
from scalebound.bounds.token_scores import TokenScores
from scalebound.commands.stage import Many
from scalebound.configuration.config import Bound
from scalebound.errors import InputError

GROUP = "studies"

INPUTS = {
    "bounds": Many("bounds.json files, of checkpoints with references"),
    "windows": Many("windows.parquet files of their score draws, in the same order"),
    "plain": Many("scores.parquet files of the unquantized models, likewise"),
    "scores": Many("scores.parquet files of the decoded models beside their references, likewise"),
}
OUTPUTS = {"out": "along_stream.csv"}
PACKAGES = ["numpy", "pandas"]
LEAST_WINDOWS = 32  # behind a share: with fewer there is nothing to see but chance


class Settings(Bound):
    """The bound's own settings, and the shares of the stream."""

    shares: list[float]


SETTINGS = Settings


def compute(inputs, settings):
    """along_stream.csv, one row a checkpoint and share; nats per token. `reference_loss`, `difference_second_moment` and
    `mean_largest_difference` are those of the part up to the next share, all else is of the positions from the share on."""
    files = zip(*(inputs[name] for name in INPUTS), strict=True)
    rows = [row for paths in files for row in _of_checkpoint(*paths, settings)]
    table = pd.DataFrame(rows).sort_values(["n_params", "n_tokens", "checkpoint", "from"], kind="stable")
    return {"out": table.to_csv(index=False, float_format="%.10g", lineterminator="\n")}


def _of_checkpoint(bounds_path, windows_path, plain_path, scores_path, settings):
    bounds = read_json(bounds_path, "bound", {"checkpoint": dict, "n_params": int, "n_tokens": int, "vocab_size": int, "coded": dict, "quantizer": str})
    check_keys(bounds["coded"], {"code_length_bits": int}, bounds_path)
    ids, _, _ = windows.read(windows_path)
    plain, _, drawn = read_scores(plain_path)
    pairs, entropy, _, scored = read_pair_scores(scores_path, bounds["vocab_size"])
    for path, made_of in ((plain_path, drawn), (scores_path, scored)):
        if windows_digest(made_of, path) != file_sha256(windows_path):
            raise InputError(path, f"scored on other windows than those of {windows_path}", "Give the windows of the scores")
    scores, positions = TokenScores(pairs.nll, entropy, bounds["vocab_size"]), pairs.nll.shape[1]
    total, ends = bounds["n_tokens"] // positions, [*settings.shares[1:], None]
    facts = {"checkpoint": bounds["checkpoint"]["slug"], "kind": "estimate", "quantizer": bounds["quantizer"]}
    facts |= {name: bounds[name] for name in ("n_params", "n_tokens")}
    for share, end in zip(settings.shares, ends):
        first = first_row(share, total)
        behind = ids >= first
        part = behind & (ids < (total if end is None else first_row(end, total)))
        if behind.sum() >= LEAST_WINDOWS and part.any():
            tokens = bounds["n_tokens"] - first * positions
            yield (
                facts
                | {"from": share, "windows": int(behind.sum()), "train_loss": plain[behind].mean(), "quantized_loss": pairs.nll[behind].mean()}
                | (_bounds(pairs.of(behind), scores.of(behind), tokens, bounds["coded"]["code_length_bits"], settings) | _part(pairs.of(part)))
            )


def _bounds(pairs, scores, tokens, bits, settings):
    """(D) and (G) over the positions of these windows."""
    online = evaluate_online(pairs, tokens, bits, settings.failure_probability, grids_of("online", settings.online.model_dump()))
    family = family_of("geometric", grids_of("geometric", settings.ceilings.model_dump()))
    geometric = plug_in(family, scores, family.complexity(bits, tokens, settings.failure_probability))["value"]
    return {"C": online["C"], "geometric_bound": geometric, "online_bound": online["bound"], "reference_bound": online["reference_bound"]}


def _part(pairs):
    alpha = pairs.alphas[0]
    return {
        "reference_loss": pairs.reference_nll.mean(),
        "difference_second_moment": np.mean(pairs.differences(alpha) ** 2),
        "mean_largest_difference": pairs.largest_differences(alpha).mean(),
    }
