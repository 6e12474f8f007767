"""The tables of the laws from made-up runs whose loss, information and gaps are known."""

import io

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from scalebound.artifacts.family_tables import ONLINE_TERMS, TERMS
from scalebound.artifacts.parquet import write_parquet
from scalebound.commands import gap_law, loss_curves, overtraining
from scalebound.commands.arguments import read_json_option
from scalebound.commands.scaling_law import FAMILY, law_text
from scalebound.configuration.studies import Information
from scalebound.errors import InputError
from scalebound.laws import chinchilla

STEPS = np.arange(1, 101) * 100
MODELS = "name\tn_params\tn_tokens\tsource\nbig\t1e9\t2e10\tmade up\n"


# of checkpoints without references there is nothing to say
ONLINE = dict.fromkeys(("online_bound", "online_bound_coded", *ONLINE_TERMS), np.nan) | {"without_references": np.nan}


def read(text):
    return pd.read_csv(io.StringIO(text))


@pytest.fixture
def bounds(tmp_path):
    """bounds.csv of four checkpoints: one of a recorded run, one of a run of two epochs, two steps of a released model."""
    rows = [("run", 500, 10_000, 2.0), ("twice", 500, 5_000, 2.5), ("org-1", 9_000, 20_000, 3.0), ("org-2", 9_000, 180_000, 2.0)]
    table = pd.DataFrame(rows, columns=["checkpoint", "n_params", "n_tokens", "train_loss"]).assign(quantizer="gptq-4", vocab_size=64, sigma=0.4, C=0.1)
    table = table.assign(heldout_loss=2.1, heldout_standard_error=0.1, heldout_bound=2.4, **ONLINE)
    table = table.assign(
        paper_bound=table["train_loss"] + 1,
        azuma_bound=6.0,
        freedman_bound_coded=table["train_loss"] + 1.2,
        coded_bits_per_param=4.5,
        gptq_share=1.0,
        heldout_loss=2.1,
        heldout_standard_error=0.1,
        heldout_bound=2.4,
    )
    table.assign(**dict.fromkeys(TERMS, 0.2)).to_csv(tmp_path / "bounds.csv", index=False)
    return tmp_path / "bounds.csv"


@pytest.fixture
def trajectory(tmp_path):
    rows = [("run", "run/step50", 50, 500, 5_000, 3.0), ("run", "run/step100", 100, 500, 10_000, 2.2), ("twice", "twice/step100", 100, 500, 5_000, 2.6)]
    rows += [("org/model", "org-1", 1, 9_000, 20_000, 3.0), ("org/model", "org-2", 2, 9_000, 180_000, 2.0)]
    table = pd.DataFrame(rows, columns=["line", "checkpoint", "step", "n_params", "n_tokens", "train_loss"])
    table = table.assign(tokens_per_param=table["n_tokens"] / table["n_params"], vocab_size=64, paper_bound=5.0)
    table.assign(**dict.fromkeys(TERMS, 0.2)).to_csv(tmp_path / "trajectory.csv", index=False)
    return tmp_path / "trajectory.csv"


def recorded(path, seen, losses):
    write_parquet(path, pa.table({"tokens_seen": seen, "loss": losses}), {"stage": "train"})
    return path


@pytest.fixture
def curves(bounds, trajectory, tmp_path):
    run = recorded(tmp_path / "run.parquet", STEPS, np.where(STEPS <= 2_000, 6.0, 2.0))
    twice = recorded(tmp_path / "twice.parquet", np.minimum(STEPS, 5_000), np.full(100, 3.0))
    settings = loss_curves.Settings(lines={"run": ["run"], "twice": ["twice"], "org/model": ["org-1", "org-2"]}, recorded=["run", "twice"])
    return read(loss_curves.compute({"bounds": bounds, "trajectory": trajectory, "losses": [run, twice]}, settings)["out"])


def test_information_of_a_recorded_run_is_what_learning_cost(curves):
    """2,000 tokens at 6 nats and the rest at 2, against the mean of the model at the place over all that it saw."""
    run = curves[curves["line"] == "run"].set_index("tokens")
    assert set(run["status"]) == {"recorded"}
    assert run.loc[10_000, "information_nats"] == pytest.approx(2_000 * 6 + 8_000 * 2 - 10_000 * 2.0)
    assert run.loc[5_000, "information_nats"] == pytest.approx(2_000 * 6 + 3_000 * 2 - 5_000 * 3.0)


def test_a_checkpoint_of_the_family_takes_its_own_loss_and_name(curves):
    run = curves[curves["line"] == "run"].set_index("tokens")
    assert run.loc[10_000, "loss"] == 2.0
    assert run.loc[10_000, "checkpoint"] == "run"
    assert pd.isna(run.loc[5_000, "checkpoint"])


def test_a_run_of_several_epochs_has_a_loss_and_no_information(curves):
    twice = curves[curves["line"] == "twice"]
    assert twice["status"].tolist() == ["single"]
    assert twice["information_nats"].isna().all()


def test_two_steps_of_a_released_model_are_points(curves):
    points = curves[curves["line"] == "org/model"]
    assert points["status"].tolist() == ["points", "points"]
    slope, ratio = -1 / np.log(9), 9.0
    area = 3.0 * 160_000 + slope * 20_000 * (ratio * np.log(ratio) - (ratio - 1))
    assert points["information_nats"].iloc[1] == pytest.approx(20_000 * np.log(64) + area - 180_000 * 2.0)


@pytest.mark.parametrize("text", ["{}", "[1]", '{"lines": {"a": "a"}, "recorded": []}', "not json"])
def test_lines_that_are_none_are_refused(text):
    with pytest.raises(InputError, match="--settings"):
        read_json_option(text, loss_curves.Settings, "--settings")


def test_a_recorded_run_without_its_losses_is_refused(bounds, trajectory):
    with pytest.raises(InputError, match="0 files for 1 runs"):
        loss_curves.compute({"bounds": bounds, "trajectory": trajectory, "losses": []}, loss_curves.Settings(lines={"run": ["run"]}, recorded=["run"]))


def test_few_points_give_the_published_laws_only(curves):
    assert FAMILY not in read(law_text(curves, Information()))["law"].tolist()


def law_points():
    n = np.repeat([1e4, 1e5, 1e6], 8)
    d = n * np.tile(np.geomspace(1, 40, 8), 3)
    law = chinchilla.Law(1.7, 80.0, 300.0, 0.35, 0.37)
    return pd.DataFrame({"line": n.astype(int).astype(str), "status": "recorded", "n_params": n, "vocab_size": 64, "tokens": d, "loss": law.loss(n, d)})


def test_the_fit_leaves_the_warm_up_out():
    points = law_points()
    points.loc[points["tokens"] < 2 * points["n_params"], "loss"] = 9.0
    (found,) = read(law_text(points, Information(bootstrap=20))).to_dict("records")[:1]
    assert found["law"] == FAMILY
    assert found["points"] == int((points["tokens"] >= 2 * points["n_params"]).sum())
    assert found["beta"] == pytest.approx(0.37, rel=0.15)


@pytest.fixture
def law_inputs(bounds, tmp_path):
    (tmp_path / "scaling_law.csv").write_text(law_text(law_points(), Information(bootstrap=20)))
    (tmp_path / "models.tsv").write_text(MODELS)
    return {"bounds": bounds, "laws": tmp_path / "scaling_law.csv", "models": tmp_path / "models.tsv"}


def information_csv(folder):
    table = pd.DataFrame({"line": ["run"], "checkpoint": ["run"], "status": ["recorded"], "n_params": [500], "tokens": [10_000], "loss": [2.0]})
    gaps = ("information_nats", "bits_per_param", "bits_per_token", "law_loss", "law_information_nats", "information_error", "C", "sigma", "bound_information")
    table.assign(tokens_per_param=20.0, **dict.fromkeys(gaps, 0.5) | {"bound_information": 2.9}).to_csv(folder / "information.csv", index=False)
    return folder / "information.csv"


def test_gaps_are_bounds_minus_training_losses_and_predictions_follow_the_law(law_inputs, tmp_path):
    inputs = law_inputs | {"information": information_csv(tmp_path), "certificates": []}
    points, exponents = map(read, gap_law.compute(inputs, gap_law.Settings(quantizer="gptq-4")).values())
    measured = points[points["kind"] == "measured"].groupby("series")["gap"].apply(list)
    assert measured["the paper's bound (estimate)"] == pytest.approx([1.0] * 4)
    assert measured["the paper's bound with the information as code length (estimate)"] == pytest.approx([0.9])
    law = chinchilla.PUBLISHED["Hoffmann et al. 2022"]
    predicted = points[points["series"] == "information, Hoffmann et al. 2022"].iloc[0]
    assert predicted["C"] == pytest.approx(law.beta / (1 - law.beta) * law.B * 2e10**-law.beta, rel=1e-5)
    assert predicted["term_parameters_per_token"] == pytest.approx(predicted["C"] * np.log(50254), rel=1e-5)
    flat = exponents[exponents["series"] == "the paper's bound (estimate)"].iloc[0]
    assert flat["exponent"] == pytest.approx(0, abs=1e-9)
    assert exponents.loc[exponents["series"] == "beta / 2, Hoffmann et al. 2022", "exponent"].tolist() == [0.14]


def test_over_training_pays_off_for_the_nominal_code_and_not_for_the_information(law_inputs):
    table = read(overtraining.compute(law_inputs, overtraining.Settings(quantizer="gptq-4", sizes=[1e9], steps=3))["out"])
    table = table[(table["law"] == "Besiroglu et al. 2024") & table["model"].isna()]
    nominal, information = (table[table["code"] == code].set_index("tokens_per_param") for code in ("nominal", "information"))
    assert nominal["C"].iloc[0] == pytest.approx(4 * np.log(2) / 1.5, rel=1e-5)
    assert nominal["C"].iloc[-1] == pytest.approx(4 * np.log(2) / 5000, rel=1e-5)
    # with the information as code, C falls as D^-beta
    beta = chinchilla.PUBLISHED["Besiroglu et al. 2024"].beta
    assert information["C"].iloc[-1] / information["C"].iloc[0] == pytest.approx((5000 / 1.5) ** -beta, rel=1e-4)
    np.testing.assert_allclose(table["bound"], table["loss"] + table["gap"], rtol=1e-5)


def test_a_published_model_stands_at_its_place(law_inputs):
    table = read(overtraining.compute(law_inputs, overtraining.Settings(quantizer="gptq-4"))["out"])
    assert table[table["model"] == "big"]["tokens_per_param"].unique().tolist() == [20.0]
