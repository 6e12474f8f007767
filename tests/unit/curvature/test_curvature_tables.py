"""Tables of the studies quantizability and curvature from files whose numbers are known."""

import io

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from scalebound.artifacts import atomic
from scalebound.artifacts.hessian import read_hessian
from scalebound.artifacts.parquet import write_parquet
from scalebound.cli import main
from scalebound.commands.hessian_nodes import nodes_text
from scalebound.commands.hessian_summary import SOFT, summary_text
from scalebound.commands.quantizability import quantizability_text
from scalebound.commands.spectra import read_spectra, spectra_text
from scalebound.curvature.quadrature import described
from scalebound.errors import InputError


def table(text):
    return pd.read_csv(io.StringIO(text))


def bounds():
    rows = [("a", 10, "gptq-4", 4, 4.5, 3.0, 3.02), ("a", 10, "rtn-4", 4, 4.5, 3.0, 2.99), ("a", 10, "coded", 2.3, 2.3, 3.0, 2.5)]
    rows += [("b", 5, "gptq-4", 4, 4.7, 3.5, 3.6)]
    names = ["checkpoint", "n_params", "quantizer", "nominal_bits_per_param", "coded_bits_per_param", "train_loss", "quantized_loss"]
    return pd.DataFrame(rows, columns=names).assign(n_tokens=100)


def test_increases_are_differences_by_method_and_size_without_what_takes_no_bits():
    found = table(quantizability_text(bounds(), {"gptq-4": "gptq", "rtn-4": "rtn", "gptq-8": "gptq"}))
    assert found[["checkpoint", "quantizer", "method"]].to_numpy().tolist() == [["b", "gptq-4", "gptq"], ["a", "gptq-4", "gptq"], ["a", "rtn-4", "rtn"]]
    np.testing.assert_allclose(found["increase"], [0.1, 0.02, -0.01], atol=1e-9)


def test_a_family_without_such_quantizers_is_refused():
    with pytest.raises(InputError, match="gptq-8"):
        quantizability_text(bounds(), {"gptq-8": "gptq"})


def probe(alpha, beta):
    return {"alpha": alpha, "beta": beta} | described(alpha, beta)


def content(**changes):
    """Two probes of a matrix with eigenvalues -1 and 3, found exactly; weights 1/4, 3/4 and 3/4, 1/4."""
    probes = [probe([2.0, 0.0], [np.sqrt(3), 0.0]), probe([0.0, 2.0], [np.sqrt(3), 0.0])]
    return {"checkpoint": "a", "n_params": 40, "status": "computed", "loss": 3.0, "gradient_norm": 0.5, "probes": probes} | changes


SKIPPED = content(checkpoint="b", n_params=50, status="skipped: large", loss=None, gradient_norm=None, probes=[])


def write(path, value):
    atomic.write_json(path, {"identity": {"stage": "hessian"}, **value})
    return path


def test_the_summary_of_a_known_spectrum(tmp_path):
    found = table(summary_text([read_hessian(write(tmp_path / f"{k}.json", c)) for k, c in enumerate((SKIPPED, content()))]))
    row, skipped = found.iloc[0], found.iloc[1]
    assert (row["checkpoint"], row["status"], row["probes"], row["steps"]) == ("a", "computed", 2, 2)
    # means of probes 2 and 0; of shares 1/4 and 3/4; of sums of absolute values 2.5 and 1.5, of which negative 0.25 and 0.75
    assert (row["mean_eigenvalue"], row["trace"], row["trace_error"]) == pytest.approx((1, 40, 40))
    assert (row["top_eigenvalue"], row["bottom_eigenvalue"]) == pytest.approx((3, -1))
    assert (row["top_residual"], row["bottom_residual"]) == pytest.approx((0, 0))
    assert row["root_mean_square"] == pytest.approx(np.sqrt(5))
    assert (row["negative_share"], row["negative_share_error"]) == pytest.approx((0.5, 0.25))
    assert row["negative_trace_share"] == pytest.approx((0.1 + 0.5) / 2)
    assert row["effective_dimension"] == pytest.approx(20 * 3 / (3 + SOFT))
    assert (skipped["checkpoint"], skipped["status"], skipped["probes"]) == ("b", "skipped: large", 0)
    assert np.isnan(skipped["trace"])


def test_nodes_are_one_row_each_and_a_skipped_checkpoint_says_why():
    found = table(nodes_text([SKIPPED, content()]))
    assert found["checkpoint"].tolist() == ["a"] * 4 + ["b"]
    np.testing.assert_allclose(found["node"][:4], [-1, 3, -1, 3], atol=1e-12)
    np.testing.assert_allclose(found["weight"][:4], [0.25, 0.75, 0.75, 0.25], atol=1e-12)
    assert found["status"].iloc[4] == "skipped: large"
    assert found.loc[4, ["probe", "node", "weight"]].isna().all()


@pytest.mark.parametrize(
    "damage",
    [
        {"probes": []},
        {"status": "skipped"},
        {"loss": None},
        {"probes": [{"alpha": [1.0], "beta": [0.0], "nodes": [1.0], "weights": [0.5], "residuals": [0.0]}]},
        {"probes": [{"alpha": [1.0], "beta": [0.0], "nodes": [1.0, 2.0], "weights": [1.0], "residuals": [0.0]}]},
        {"probes": [{"alpha": ["x"], "beta": [0.0], "nodes": [1.0], "weights": [1.0], "residuals": [0.0]}]},
        {"probes": [{"alpha": [], "beta": [], "nodes": [], "weights": [], "residuals": []}]},
    ],
)
def test_what_is_no_quadrature_is_refused(tmp_path, damage):
    with pytest.raises(InputError):
        read_hessian(write(tmp_path / "hessian.json", content(**damage)))


def spectra_file(path, layers):
    columns = {
        "layer": [name for name, values in layers.items() for _ in values],
        "index": pa.array([k for values in layers.values() for k in range(len(values))], pa.int32()),
        "eigenvalue": pa.array([v for values in layers.values() for v in values], pa.float64()),
    }
    write_parquet(path, pa.table(columns), {"stage": "moments"})
    return path


def test_the_table_of_spectra_by_hand(tmp_path):
    path = spectra_file(tmp_path / "spectra.parquet", {"h.0.mlp.up": [9.0, 4.0, 1.0], "h.1.mlp.up": [0.0, 0.0, 0.0], "head": [8.0, -1e-9]})
    found = table(spectra_text([({"checkpoint": "a", "n_params": 7}, read_spectra(path))]))
    assert found["kind"].tolist() == ["mlp.up", "mlp.up", "head"]
    assert found["block"].tolist()[:2] == [0, 1]
    assert np.isnan(found["block"][2])
    assert found["ratio"][0] == pytest.approx(36 / 42)
    assert found["ratio"][2] == pytest.approx(1 / 2)
    assert np.isnan(found["ratio"][1])
    assert found["clipped"].tolist() == [0, 0, 1]
    assert found["null_directions"].tolist() == [0, 3, 1]
    assert (found["eigenvalue_0"][0], found["eigenvalue_50"][0], found["eigenvalue_100"][0]) == pytest.approx((27 / 14, 12 / 14, 3 / 14))


@pytest.mark.parametrize("values", [[1.0, np.nan], [1.0, -0.5]])
def test_spectra_of_no_second_moment_are_refused(tmp_path, values):
    with pytest.raises(InputError, match="layer"):
        read_spectra(spectra_file(tmp_path / "spectra.parquet", {"layer": values}))


def test_a_model_beyond_the_largest_size_is_skipped_with_the_reason(tmp_path, capsys):
    """Nothing of it is opened: neither weights nor windows need to be there in a form that can be read."""
    atomic.write_json(tmp_path / "resolved.json", {"identity": {"stage": "resolve"}, "n_params": 11, "checkpoint": {"slug": "a"}})
    (tmp_path / "windows.parquet").write_bytes(b"")
    arguments = ["hessian", "--settings", '{"max_parameters": 10}', "--model", tmp_path / "resolved.json", "--calibration", tmp_path / "windows.parquet"]
    assert main([*map(str, arguments), "--out", str(tmp_path / "hessian.json")]) == 0
    assert "skipped: more than max_parameters 10" in capsys.readouterr().out
    assert read_hessian(tmp_path / "hessian.json")["probes"] == []
