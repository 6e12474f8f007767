"""The smoke run against stored tables: drift between machines and versions shows here.

Stream and tokenizer are pinned exactly in the configuration. Training differs between processors in the last bits of
its sums, which a few hundred steps amplify: losses and bounds may move by hundredths of a nat, not more. The coded
quantizer weighs code length against loss, so that its length moves with the weights, by a few in a hundred.
After a change that is meant to change numbers: copy results/smoke/bounds.csv and certificates.csv of a smoke run to
tests/golden/ as smoke_bounds.csv and smoke_certificates.csv.
"""

from pathlib import Path

import pandas as pd
import pytest

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
EXACT = ["checkpoint", "kind", "n_params", "n_tokens", "vocab_size", "quantizer", "sampled_windows", "sampling"]
BITS = ["bits", "nominal_bits_per_param", "coded_bits_per_param"]
COMPLEXITIES = ["C", "C_coded"]
LOSSES = ["train_loss", "quantized_loss", "paper_bound", "paper_bound_sqrt", "freedman_bound", "geometric_bound", "azuma_bound", "sigma"]
LOSSES += ["paper_bound_coded", "freedman_bound_coded", "geometric_bound_coded", "azuma_bound_coded"]
LOSSES += ["online_bound", "online_bound_coded", "reference_loss", "reference_bound", "heldout_bound"]
CERTIFICATES_EXACT = ["method", "checkpoint", "sampling", "n_params", "n_tokens", "quantizer", "windows", "failure_probability", "true_risk"]
CERTIFICATES_NATS = ["train_loss", "paper_recipe", "real_code_length", "geometric", "tuned", "estimate", "certificate", "decoded_loss"]
CERTIFICATES_NATS += ["without_references", "certificate_from_0_5", "reference_loss", "reference_bound", "heldout_bound"]
TOLERANCE_NATS = 0.03
CODED_TOLERANCE_NATS = 0.1
CODED_TOLERANCE_LENGTH = 0.05  # relative


def pair(finished, name):
    return pd.read_csv(finished.path(f"results/smoke/{name}.csv")), pd.read_csv(GOLDEN / f"smoke_{name}.csv")


@pytest.fixture(scope="module")
def tables(finished):
    return pair(finished, "bounds")


@pytest.fixture(scope="module")
def certificates(finished):
    return pair(finished, "certificates")


def of_method(tables, coded):
    return [table[(table["quantizer"] == "coded") == coded] for table in tables]


def test_tables_have_the_columns_of_the_stored_ones(tables, certificates):
    for found, golden in (tables, certificates):
        assert list(found.columns) == list(golden.columns)


def test_what_the_configuration_fixes_is_equal(tables, certificates):
    pd.testing.assert_frame_equal(*(table[EXACT] for table in tables))
    pd.testing.assert_frame_equal(*(table[CERTIFICATES_EXACT] for table in certificates))
    found, golden = of_method(tables, coded=False)
    pd.testing.assert_frame_equal(found[BITS], golden[BITS])


def test_complexity_of_a_fixed_grid_depends_on_no_machine(tables):
    found, golden = of_method(tables, coded=False)
    pd.testing.assert_frame_equal(found[COMPLEXITIES], golden[COMPLEXITIES], rtol=1e-9)


def test_losses_and_bounds_stay_within_the_tolerance(tables):
    for coded, tolerance in ((False, TOLERANCE_NATS), (True, CODED_TOLERANCE_NATS)):
        found, golden = of_method(tables, coded)
        assert (found[LOSSES] - golden[LOSSES]).abs().max().max() < tolerance


def test_coded_lengths_stay_within_the_tolerance(tables, certificates):
    found, golden = of_method(tables, coded=True)
    columns = [*BITS, *COMPLEXITIES]
    assert (found[columns] / golden[columns] - 1).abs().max().max() < CODED_TOLERANCE_LENGTH
    found, golden = certificates
    assert (found["coded_bits_per_param"] / golden["coded_bits_per_param"] - 1).abs().max() < CODED_TOLERANCE_LENGTH


def test_certificates_stay_within_the_tolerance(certificates):
    found, golden = certificates
    assert (found[CERTIFICATES_NATS] - golden[CERTIFICATES_NATS]).abs().max().max() < CODED_TOLERANCE_NATS
    assert (found["gap_ratio"] - golden["gap_ratio"]).abs().max() < 0.03
