"""The online bound under published laws: the table is that of laws/online.py, for published sizes and models."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from scalebound.commands import online_law
from scalebound.laws import online
from scalebound.laws.chinchilla import PUBLISHED

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def table():
    inputs = {"models": ROOT / "config/published_models.tsv", "published": [ROOT / "config/published.tsv"]}
    settings = online_law.Settings(largest_differences=[1.2, 2.4], excesses=[0.0, 0.2], starts=[0.0])
    return pd.read_csv(io.StringIO(online_law.compute(inputs, settings)["out"]))


def test_published_bounds_stand_beside_predictions_at_twenty_tokens_a_parameter(table):
    some = table[table["published_gap"].notna()].drop_duplicates("model").set_index("model")
    assert some.loc["pythia-6.9b", "published_gap"] == pytest.approx(4.06 - 1.95)
    assert some.loc["pythia-6.9b", "n_params"] == 6.9e9
    assert some.loc["pythia-70m", "n_params"] == 7e7
    np.testing.assert_allclose(some["tokens_per_param"], 20)
    assert set(table["kind"]) == {"prediction"}


def test_a_row_is_what_the_law_predicts_under_its_assumptions(table):
    row = table.query("law == 'Hoffmann et al. 2022' and model == 'Chinchilla 70B' and largest == 1.2 and excess == 0.2").iloc[0]
    wanted = online.predicted(PUBLISHED[row["law"]], 7e10, 1.4e12, 4.0, 1.2, 0.02, excess=0.2).iloc[0]
    for name in ("C", "regret", "second_moment", "gap", "bound"):
        assert row[name] == pytest.approx(wanted[name], rel=1e-5)


def test_references_that_are_not_annealed_and_larger_differences_cost(table):
    places = table.set_index(["law", "model", "largest", "excess"])["gap"].sort_index()
    for law in PUBLISHED:
        assert places[law, "pythia-6.9b", 1.2, 0.0] < places[law, "pythia-6.9b", 1.2, 0.2] < places[law, "pythia-6.9b", 2.4, 0.2]
