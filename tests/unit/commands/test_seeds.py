"""Spreads over models that differ in their seed."""

import io

import numpy as np
import pandas as pd
import pytest

from scalebound.artifacts.family_tables import BOUNDS, CERTIFICATES
from scalebound.commands import seeds


@pytest.fixture
def spreads(tmp_path):
    """(losses of three models of one size and one of another) -> the table of spreads, by size and quantity."""

    def made(**changes):
        models = pd.DataFrame({"n_params": [10, 10, 10, 20], "n_tokens": [200, 200, 200, 400], "train_loss": [1.0, 2.0, 6.0, 5.0]})
        for name, columns in (("bounds", BOUNDS), ("certificates", CERTIFICATES)):
            texts = dict.fromkeys(columns.texts, "a") | {"quantizer": "gptq-4"}
            rest = dict.fromkeys([*columns.numbers, *columns.gaps], 7.0) | texts
            table = models.assign(**{key: value for key, value in rest.items() if key not in models}).assign(**changes.get(name, {}))
            table.to_csv(tmp_path / f"{name}.csv", index=False)
        inputs = {"bounds": tmp_path / "bounds.csv", "certificates": [tmp_path / "certificates.csv"]}
        text = seeds.compute(inputs, seeds.Settings(quantizer="gptq-4"))["out"]
        return pd.read_csv(io.StringIO(text)).set_index(["n_params", "quantity"])

    return made


def test_spreads_are_those_of_the_models_of_a_size(spreads):
    row = spreads().loc[10, "train_loss"]
    assert (row["models"], row["mean"], row["least"], row["largest"]) == (3, 3.0, 1.0, 6.0)
    assert row["deviation"] == pytest.approx(np.std([1, 2, 6], ddof=1))
    alone = spreads().loc[20, "train_loss"]
    assert (alone["models"], alone["mean"]) == (1, 5.0)
    assert np.isnan(alone["deviation"])


def test_a_gap_is_that_of_each_model_above_its_own_loss(spreads):
    row = spreads(certificates={"certificate": [2.0, 4.0, 7.0, 5.5]}).loc[10, "gap"]
    assert (row["least"], row["largest"]) == (1.0, 2.0)


def test_what_one_model_lacks_has_no_spread(spreads):
    found = spreads(bounds={"heldout_loss": [1.0, np.nan, 2.0, 3.0]})
    assert np.isnan(found.loc[(10, "heldout_loss"), "mean"])
    assert found.loc[(20, "heldout_loss"), "mean"] == 3.0


def test_other_quantizers_play_no_part(spreads):
    found = spreads(bounds={"quantizer": ["gptq-4", "gptq-4", "rtn-2", "gptq-4"]})
    assert found.loc[(10, "train_loss"), "models"] == 2
