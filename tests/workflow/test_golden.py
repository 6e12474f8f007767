"""The smoke run against a stored table: drift between machines and versions shows here.

Stream and tokenizer are pinned exactly in the configuration. Training differs between processors in the last bits of
its sums, which a few hundred steps amplify: losses and bounds may move by hundredths of a nat, not more.
After a change that is meant to change numbers: copy results/smoke/bounds.csv of a smoke run to tests/golden/.
"""

from pathlib import Path

import pandas as pd
import pytest

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "smoke_bounds.csv"
EXACT = ["checkpoint", "kind", "n_params", "n_tokens", "vocab_size", "quantizer", "bits", "nominal_bits_per_param", "coded_bits_per_param", "sampled_windows"]
LOSSES = ["train_loss", "quantized_loss", "paper_bound", "paper_bound_sqrt", "freedman_bound", "azuma_bound", "sigma"]
TOLERANCE_NATS = 0.03


@pytest.fixture(scope="module")
def tables(finished):
    return pd.read_csv(finished.path("results/smoke/bounds.csv")), pd.read_csv(GOLDEN)


def test_what_the_configuration_fixes_is_equal(tables):
    found, golden = tables
    pd.testing.assert_frame_equal(found[EXACT], golden[EXACT])


def test_complexity_depends_on_no_machine(tables):
    found, golden = tables
    pd.testing.assert_series_equal(found["C"], golden["C"], rtol=1e-9)
    pd.testing.assert_series_equal(found["C_coded"], golden["C_coded"], rtol=1e-9)


def test_losses_and_bounds_stay_within_the_tolerance(tables):
    found, golden = tables
    assert (found[LOSSES] - golden[LOSSES]).abs().max().max() < TOLERANCE_NATS
