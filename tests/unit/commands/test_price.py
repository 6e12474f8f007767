"""What a nat of code costs is the slope of the bound, by a finite difference of the bound itself."""

import json

import numpy as np
import pyarrow as pa
import pytest

from scalebound.artifacts.parquet import write_parquet
from scalebound.artifacts.provenance import file_sha256
from scalebound.bounds.ceilings import family_of, grids_of
from scalebound.bounds.certificate import plug_in
from scalebound.bounds.complexity import alpha_grid
from scalebound.commands import price
from scalebound.errors import InputError

V, N, PARAMETERS = 32, 20_000, 1000
SMALL = {"alpha_points": 2, "alpha_min": 0.02, "alpha_max": 0.04}


@pytest.fixture
def files(tmp_path):
    """Scores of a model beside a reference that is a little worse, and the description that they are of."""
    rng, model = np.random.default_rng(0), tmp_path / "resolved.json"
    model.write_text(json.dumps({"identity": {"stage": "resolve"}, "checkpoint": {"tokens_seen": N}, "n_params": PARAMETERS, "vocab_size": V}))
    logits = rng.normal(0, 1.5, (40, 16, V))
    p, r = (np.exp(x) / np.exp(x).sum(-1, keepdims=True) for x in (logits, logits + rng.normal(0, 0.4, logits.shape)))
    drawn = (p.cumsum(-1) > rng.random((40, 16, 1))).argmax(-1)
    nll, reference = (-np.log(np.take_along_axis(x, drawn[..., None], -1)[..., 0]) for x in (p, r))
    columns = {"nll": nll, "entropy": -(p * np.log(p)).sum(-1), "reference_nll": reference}
    alphas = alpha_grid(SMALL["alpha_points"], SMALL["alpha_min"], SMALL["alpha_max"]).tolist()
    for k, a in enumerate(alphas):
        columns[f"largest_difference_{k}"] = np.log(((1 - a / 2) * r + a / 2 / V) / ((1 - a) * p + a / V)).max(-1)
    window, position = np.divmod(np.arange(40 * 16), 16)
    table = {"window": window, "position": position, "reference": np.ones(640, dtype=int)} | {k: x.ravel().astype(np.float32) for k, x in columns.items()}
    made_of = {"stage": "score-references", "inputs": {"model": {"sha256": file_sha256(model)}}, "settings": {"alphas": alphas}}
    write_parquet(tmp_path / "scores.parquet", pa.table(table), made_of)
    return {"model": model, "scores": tmp_path / "scores.parquet"}


@pytest.mark.parametrize("method", ["geometric", "online"])
def test_it_is_the_slope_of_the_bound(files, method):
    settings = price.Settings(method=method, online=SMALL, ceilings={"alpha_points": 6, "offset_points": 25, "slope_points": 5})
    found = price.compute(files, settings)["out"]
    grids = grids_of(method, (settings.online if method == "online" else settings.ceilings).model_dump())
    family, (scores, _) = family_of(method, grids), price._scores(files["scores"], V, method)
    bits, step = price.EXPECTED_BITS * PARAMETERS, 20.0
    values = [plug_in(family, scores, family.complexity(bits + shift, N, 0.01))["value"] for shift in (-step, step)]
    slope = (values[1] - values[0]) / (2 * step * np.log(2) / N)
    assert found["exchange"] == pytest.approx(slope, rel=0.05)
    assert found["exchange"] > 0.5


def test_a_reference_makes_code_cheaper(files):
    prices = {method: price.compute(files, price.Settings(method=method, online=SMALL))["out"]["exchange"] for method in ("geometric", "online")}
    assert prices["online"] < 0.7 * prices["geometric"]


def test_scores_of_another_model_are_refused(files):
    files["model"].write_text(files["model"].read_text() + " ")
    with pytest.raises(InputError, match="scores of another model"):
        price.compute(files, price.Settings(method="geometric"))
