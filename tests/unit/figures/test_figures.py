"""Figures: the same bytes for the same table, fits that recover a known law, and what is drawn with few points."""

import itertools
import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from scalebound.artifacts.family_tables import (
    ALONG_STREAM,
    BASELINES,
    BOUNDS,
    CERTIFICATES,
    COMPARISON,
    HESSIAN_NODES,
    ONLINE_LAW,
    ONLINE_TERMS,
    QUANTIZABILITY,
    REQUENTIAL,
    SEEDS,
    SPECTRA,
    TERMS,
    TRAJECTORY,
    read_family_table,
)
from scalebound.commands.figures import draw
from scalebound.counts import short_count
from scalebound.errors import InputError
from scalebound.figures import hessian, loss_variation, rates, style
from scalebound.laws.gap import published_sigma
from scalebound.plan.stages.figures import table_of_each

SIZES = (20_000, 45_000, 110_000, 265_000)


def table():
    rows = []
    for k, size in enumerate(SIZES):
        for method in ("gptq", "rtn"):
            for bits in (3, 4):
                row = {
                    "checkpoint": f"m{size}",
                    "n_params": size,
                    "n_tokens": 20 * size,
                    "quantizer": f"{method}-{bits}",
                    "train_loss": 4 - 0.5 * k,
                    "paper_bound": 6 - 0.5 * k,
                    "azuma_bound": 7 - 0.5 * k,
                }
                row |= {"vocab_size": 512, "C": 0.14, "sigma": 0.3 + 0.1 * k, "coded_bits_per_param": bits + 0.5, "freedman_bound_coded": 5.9 - 0.5 * k}
                row |= {"heldout_bound": 4.3 - 0.5 * k if k else np.nan, "online_bound": np.nan, "online_bound_coded": 5.0, **dict.fromkeys(ONLINE_TERMS, 1.0)}
                row |= {"heldout_loss": 4.1 - 0.5 * k if k else np.nan, "heldout_standard_error": 0.02 if k else np.nan}
                row |= {"term_parameters_per_token": 0.9, "term_loss_variation": 0.2, "term_smoothing": 0.4, "term_quantization_gap": 0.01, "gptq_share": 1.0}
                rows.append(row)
    return pd.DataFrame(rows)


def comparison():
    """Seven published checkpoints, two of them run, and one that is ours alone."""
    found, published = [3.8, 3.1, np.nan, 2.0], [3.79, 3.14, 2.74, np.nan]
    status = ["compared", "compared", "missing", "not published"]
    rows = {"checkpoint": ["p-70m", "p-160m", "p-410m", "p-12b"], "status": status}
    for k, name in enumerate(("train_loss", "paper_bound", "azuma_bound")):
        rows |= {name: np.array(found) + k, f"{name}_published": np.array(published) + k}
    return pd.DataFrame(rows)


def certificates():
    rows = {"checkpoint": list("abcd"), "quantizer": "coded", "n_params": SIZES, "train_loss": [3.8, 3.5, 3.0, 2.5]}
    rows |= {"n_tokens": [20 * size for size in SIZES], "true_risk": np.nan, "trained_risk": np.nan}
    steps = ("paper_recipe", "real_code_length", "geometric", "rate_chosen", "tuned", "estimate", "certificate")
    rows |= {name: np.array(rows["train_loss"]) + 1.4 - 0.1 * k for k, name in enumerate(steps)}
    rows |= {"without_references": np.array(rows["certificate"]) + 0.3, "heldout_loss": np.nan, "heldout_bound": np.nan}
    rows |= dict.fromkeys(ONLINE_TERMS, 4.0) | {"train_loss_from_0_5": rows["train_loss"], "certificate_from_0_5": np.array(rows["certificate"]) - 0.1}
    return pd.DataFrame(rows | {"gap_ratio": 0.64, "coded_bits_per_param": 2.5})


def known_truth():
    """Three checkpoints on an oracle stream and one that is not."""
    truth = np.array([3.9, 3.6, 3.2, np.nan])
    return certificates().assign(true_risk=truth, trained_risk=truth - 0.1)


def trajectory():
    """Two runs of six kept steps, whose bounds are far above log V at first, and one released checkpoint."""
    rows = [(f"r{size}", size, 4.0**k / 16) for size in SIZES[:2] for k in range(6)] + [("org/model", SIZES[2], 20.0)]
    table = pd.DataFrame(rows, columns=["line", "n_params", "tokens_per_param"])
    table = table.assign(checkpoint=[f"c{k}" for k in range(len(rows))], step=range(1, len(rows) + 1), vocab_size=512)
    table = table.assign(n_tokens=table["n_params"] * table["tokens_per_param"], train_loss=6 - np.log1p(table["tokens_per_param"]))
    table["paper_bound"] = table["train_loss"] + 20 / table["tokens_per_param"]
    return table.assign(**dict.fromkeys(TERMS, 0.2))


def baselines():
    """Three checkpoints whose documents are known and one whose are not."""
    table = certificates()[["checkpoint", "n_params", "n_tokens", "train_loss", "certificate"]]
    table = table.assign(log_v=np.log(512), heldout_loss=table["train_loss"] + 0.1, heldout_standard_error=0.02, documents=100.0)
    table = table.assign(heldout_loss_quantized=table["heldout_loss"] + 0.01, document_bound=[120.0, 80.0, 5.5, np.nan])
    table.loc[3, ["heldout_loss", "heldout_standard_error", "heldout_loss_quantized", "documents"]] = np.nan
    return table.assign(**{f"{name}_bound": table["train_loss"] + k / 2 for k, name in enumerate(("geometric", "freedman", "paper", "azuma"), start=2)})


def quantizability():
    """Two methods at three numbers of bits, one of them so many that what rounding costs is nothing or less."""
    rows = [(n, m, b, k) for k, n in enumerate(SIZES) for m in ("gptq", "rtn") for b in (2, 4, 8)]
    table = pd.DataFrame(rows, columns=["n_params", "method", "nominal_bits_per_param", "place"])
    table = table.assign(checkpoint="c", quantizer="q", n_tokens=20 * table["n_params"], coded_bits_per_param=table["nominal_bits_per_param"] + 0.5)
    table["increase"] = np.where(table["nominal_bits_per_param"] == 8, -1e-4, (1 + table.pop("place")) * 0.3 / table["nominal_bits_per_param"] ** 3)
    return table.assign(train_loss=3.0, quantized_loss=3 + table["increase"])


def spectra():
    """Two sizes, one of two blocks; a layer that sees only zeros; a head outside of the blocks."""
    rows = [(n, f"layers.{b}.{kind}", kind, b) for n, blocks in ((20_000, 1), (110_000, 2)) for b in range(blocks) for kind in ("mlp.up", "mlp.down")]
    rows += [(n, "head", "head", np.nan) for n in (20_000, 110_000)]
    table = pd.DataFrame(rows, columns=["n_params", "layer", "kind", "block"]).assign(checkpoint="c", width=16, trace=3.0)
    table = table.assign(ratio=0.4, effective_rank=5.0, largest_share=0.3, **{f"eigenvalue_{r}": 10.0 ** (1 - r / 20) for r in range(0, 101, 5)})
    gaps = [name for name in table if name.startswith("eigenvalue_") or name in ("ratio", "effective_rank", "largest_share")]
    table.loc[0, gaps] = np.nan
    return table


def hessian_nodes():
    """Two probes of one size, one of another, and a size that was skipped."""
    nodes = [-0.5, -1e-4, 1e-3, 0.2, 30.0]
    rows = [("a", 20_000, "computed", probe, node, weight) for probe in (0, 1) for node, weight in zip(nodes, [0.01, 0.39, 0.5, 0.0999, 0.0001])]
    rows += [("b", 110_000, "computed", 0, node * 2, 0.2) for node in nodes] + [("c", 10**9, "skipped: too large", np.nan, np.nan, np.nan)]
    return pd.DataFrame(rows, columns=["checkpoint", "n_params", "status", "probe", "node", "weight"])


def information():
    """Two models of seven places, one of which the noise hides, and a released one without a curve or law."""
    rows = [(f"r{n}", n, ratio) for n in SIZES[:2] for ratio in (0.1, 0.6, 2, 5, 9, 14, 20)] + [("org/model", SIZES[2], 20)]
    table = pd.DataFrame(rows, columns=["line", "n_params", "tokens_per_param"]).assign(status="recorded", C=np.nan, sigma=np.nan, bound_information=np.nan)
    table["information_error"] = np.where(table["tokens_per_param"] == 20, 3e4, np.nan)
    table = table.assign(tokens=table["n_params"] * table["tokens_per_param"], loss=6 - np.log1p(table["tokens_per_param"]))
    table = table.assign(information_nats=0.3 * table["tokens"], law_loss=table["loss"] + 0.05, law_information_nats=0.2 * table["tokens"])
    table.loc[3, "information_nats"] = -5.0
    table.loc[14, ["information_nats", "law_loss", "law_information_nats"]] = np.nan
    bits = table["information_nats"] / np.log(2)
    return table.assign(bits_per_param=bits / table["n_params"], bits_per_token=bits / table["tokens"])


def gap_law():
    rows = [(series, "measured", f"m{n}", n, 20.0 * n, gap) for series, gap in (("the paper's bound", 1.4), ("certificate", 0.6)) for n in SIZES]
    rows += [(f"information, {law}", "predicted", name, 1e10, d, 3e5 / d**0.4) for law in ("a", "b") for name, d in (("x", 1e11), ("y", 1e13))]
    return pd.DataFrame(rows, columns=["series", "kind", "model", "n_params", "n_tokens", "gap"]).assign(loss=2.0, C=np.nan, sigma=np.nan)


def overtraining():
    places = [(None, n, ratio) for n in (1e8, 1e10) for ratio in (2.0, 20.0, 2000.0)] + [("model of 7B", 7e9, 300.0), ("model of 8B", 8e9, 1900.0)]
    rows = [(law, code, *place) for law in ("this family", "published") for code in ("nominal", "information") for place in places]
    table = pd.DataFrame(rows, columns=["law", "code", "model", "n_params", "tokens_per_param"])
    table = table.assign(n_tokens=table["n_params"] * table["tokens_per_param"], C=2.8 / table["tokens_per_param"], loss=2.0)
    return table.assign(gap=10 * table["C"], bound=2 + 10 * table["C"])


def ablations():
    curves = [("s_points", str(x), x) for x in (1, 1000)] + [("failure_probability", str(x), x) for x in (0.1, 1e-6)]
    curves += [("windows", str(x), x) for x in (16, 64)]
    choices = [("reference", name, np.nan) for name in ("entropy", "constant, best of 9")] + [("alpha", name, 0.1) for name in ("closed form", "grid of 40")]
    rows = [(n, *variant) for n in SIZES[:2] for variant in (*curves, *choices)]
    table = pd.DataFrame(rows, columns=["n_params", "ablation", "setting", "x"]).assign(checkpoint="c", bound=5.2, gap=1.4, low=np.nan, high=np.nan)
    table.loc[(table["ablation"] == "windows") & (table["x"] == 16), ["low", "high"]] = 5.0, 5.5
    return table


def along_stream():
    """Two sizes by four parts, the last of which the smaller one has too few windows for."""
    rows = [(n, share) for n in SIZES[:2] for share in (0.0, 0.1, 0.5, 0.9)][:-1]
    table = pd.DataFrame(rows, columns=["n_params", "from"]).assign(checkpoint="c", quantizer="coded", n_tokens=4e5, train_loss=3.0, quantized_loss=3.1, C=0.1)
    table = table.assign(geometric_bound=4.2, online_bound=3.9, reference_bound=3.6, reference_loss=5 - table["from"])
    return table.assign(difference_second_moment=4 - 4 * table["from"], mean_largest_difference=3 - table["from"])


def online_law():
    """Two laws, one published bound and a model without, two assumptions each."""
    rows = [(law, *model, m, start) for law in "ab" for model in (("p-70m", 7e7, 1.7), ("x 7B", 7e9, np.nan)) for m in (0.6, 2.4) for start in (0.0, 0.5)]
    table = pd.DataFrame(rows, columns=["law", "model", "n_params", "published_gap", "largest", "start"])
    return table.assign(excess=0.0, n_tokens=20 * table["n_params"], C=0.14, regret=0.4, gap=0.3 * table["largest"], bound=3.0)


def requential():
    """Two sizes, each taught by rows and by places of the stream, of which the smaller was sent too."""
    rows = [("a-20k", 2e4, "rows"), ("a-20k", 2e4, "stream"), ("a-20k", 2e4, "best"), ("a-45k", 4.5e4, "rows"), ("a-45k", 4.5e4, "stream")]
    table = pd.DataFrame(rows, columns=["checkpoint", "n_params", "source"])
    table = table.assign(quantizer="coded", n_tokens=20 * table["n_params"], train_loss=3.0, student_loss=3.3, coded_loss=3.1, coded_bits_per_param=2.5)
    table = table.assign(divergence_bits_a_step=90.0, divergence_bits_per_param=6.0, formula_bits_per_param=7.0, gap_of_lossless=1.1)
    table = table.assign(**dict.fromkeys(REQUENTIAL.gaps, 4.0))
    table.loc[table["source"] == "stream", list(REQUENTIAL.gaps)] = np.nan
    return table.assign(sent_bits_per_param=np.where(table["source"] == "best", 1.5, np.nan))


def seeds():
    """Two sizes of three models each, a quantity that is not known for one of them."""
    rows = [(size, quantity) for size in SIZES[:2] for quantity in ("train_loss", "coded_bits_per_param", "gap_ratio")]
    table = pd.DataFrame(rows, columns=["n_params", "quantity"])
    table = table.assign(n_tokens=20 * table["n_params"], models=3, mean=2.0, deviation=0.1, least=1.9, largest=2.2)
    table.loc[5, ["mean", "deviation", "least", "largest"]] = np.nan
    return table


def of_three_seeds(table, column, offsets=(0.0, 0.1, 0.5)):
    """Each row of a table three times, `column` moved by the offsets."""
    return pd.concat([table.assign(**{column: table[column] + offset}) for offset in offsets], ignore_index=True)


def test_models_of_one_size_and_as_many_tokens_are_a_point_with_a_bar():
    drawn = draw(of_three_seeds(table(), "train_loss"), "bounds_by_size", "gptq-4", "t").axes[0]
    (bars,) = (container for container in drawn.containers if container.get_label() == "training loss")
    line, _, (stems,) = bars
    assert line.get_ydata() == pytest.approx([4.2, 3.7, 3.2, 2.7])
    assert [segment[:, 1].tolist() for segment in stems.get_segments()] == [pytest.approx([loss, loss + 0.5]) for loss in (4.0, 3.5, 3.0, 2.5)]
    assert not draw(table(), "bounds_by_size", "gptq-4", "t").axes[0].containers
    # half-way through its training a model is another one, whatever its size
    halfway = pd.concat([table(), table().assign(n_tokens=10.0)], ignore_index=True)
    assert not draw(halfway, "bounds_by_size", "gptq-4", "t").axes[0].containers


def test_certificates_of_several_seeds_are_one_line_at_their_mean():
    axes = draw(of_three_seeds(certificates(), "certificate"), "certificates", "gptq-4", "t").axes[0]
    assert len(axes.lines) == 4
    assert axes.lines[0].get_ydata()[-1] == pytest.approx(certificates()["certificate"][0] + 0.2 - 3.8)


STUDIES = {
    "seeds": seeds,
    "along_stream": along_stream,
    "requential": requential,
    "online_law": online_law,
    "gaps": certificates,
    "quantizability": quantizability,
    "spectra": spectra,
    "hessian": hessian_nodes,
}
LAWS = {"information": information, "scaling_law": information, "gap_law": gap_law, "overtraining": overtraining, "ablations": ablations}
TABLES = STUDIES | LAWS | {"trajectory": trajectory, "baselines": baselines, "comparison": comparison, "certificates": certificates, "oracle": known_truth}


@pytest.mark.parametrize("name", table_of_each())
def test_one_table_makes_one_figure_byte_for_byte(name, tmp_path):
    content = TABLES.get(name, table)()
    for folder in ("a", "b"):
        style.save(draw(content, name, "gptq-4", "t"), tmp_path / folder / "f.png", tmp_path / folder / "f.pdf", {"stage": "figures"})
    for form in ("png", "pdf"):
        assert (tmp_path / "a" / f"f.{form}").read_bytes() == (tmp_path / "b" / f"f.{form}").read_bytes()
    with Image.open(tmp_path / "a" / "f.png") as image:
        assert json.loads(image.text["scalebound"]) == {"stage": "figures"}


@pytest.mark.parametrize("name", ["bounds_by_size", "terms", "loss_variation"])
def test_only_the_asked_quantizer_is_drawn(name, tmp_path):
    changed = table()
    changed.loc[changed["quantizer"] != "gptq-4", ["train_loss", "paper_bound", "azuma_bound", "sigma", "term_smoothing"]] = 99.0
    for folder, content in (("a", table()), ("b", changed)):
        style.save(draw(content, name, "gptq-4", "t"), tmp_path / folder / "f.png", tmp_path / folder / "f.pdf", {})
    assert (tmp_path / "a" / "f.png").read_bytes() == (tmp_path / "b" / "f.png").read_bytes()


@pytest.mark.parametrize(
    ("make", "columns"),
    [
        *((table, BOUNDS), (comparison, COMPARISON), (certificates, CERTIFICATES), (trajectory, TRAJECTORY), (baselines, BASELINES)),
        *((along_stream, ALONG_STREAM), (online_law, ONLINE_LAW), (quantizability, QUANTIZABILITY), (spectra, SPECTRA), (hessian_nodes, HESSIAN_NODES)),
        *((requential, REQUENTIAL), (seeds, SEEDS)),
    ],
)
def test_tables_are_read_back_and_damaged_ones_refused(make, columns, tmp_path):
    path = tmp_path / "table.csv"
    make().to_csv(path, index=False)
    assert len(read_family_table(path, columns)) == len(make())
    name = [*columns.numbers, *columns.gaps][-1]
    make().assign(**{name: "much"}).to_csv(path, index=False)
    with pytest.raises(InputError, match=name):
        read_family_table(path, columns)
    make().drop(columns=name).to_csv(path, index=False)
    with pytest.raises(InputError, match="no column"):
        read_family_table(path, columns)


def test_every_method_has_a_look_of_its_own_in_the_figure_of_rates():
    """In grey too: no two share marker or dashes."""
    assert {"rtn", "gptq", "incoherent"} <= set(rates.LOOKS)
    for part in (1, 2):
        looks = [str(look[part]) for look in (*rates.LOOKS.values(), *rates.OTHER_LOOKS)]
        assert len(set(looks)) == len(looks)


def test_a_missing_quantizer_is_an_error():
    with pytest.raises(InputError, match="no row of quantizer 'gptq-5'"):
        draw(table(), "terms", "gptq-5", "bounds.csv")


def texts(drawn):
    return [text.get_text() for text in drawn.texts]


@pytest.mark.parametrize("figure", ["bounds_by_size", "terms", "loss_variation"])
def test_figures_of_the_recipe_name_the_checkpoints_that_gptq_covered_too_little_of(figure):
    partly = table()
    partly.loc[partly["n_params"] == SIZES[1], "gptq_share"] = 0.43
    assert texts(draw(partly, figure, "gptq-4", "t")) == ["not the paper's recipe, m45000: GPTQ share 0.43"]
    assert texts(draw(partly[partly["n_params"] != SIZES[1]], figure, "gptq-4", "t")) == []


def test_a_certificate_without_a_recipe_begins_its_line_a_step_later():
    some = certificates()
    some.loc[0, ["paper_recipe", "gap_ratio"]] = np.nan
    axes = draw(some, "certificates", "gptq-4", "t").axes[0]
    assert [np.isnan(line.get_ydata()[0]) for line in axes.lines] == [True, False, False, False]
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert ["gap" in label for label in labels] == [False, True, True, True]
    none = certificates().assign(paper_recipe=np.nan, gap_ratio=np.nan)
    steps, without = (len(draw(made, "certificates", "gptq-4", "t").axes[0].get_xticks()) for made in (certificates(), none))
    assert without == steps - 1


def test_what_was_not_run_and_what_is_another_recipe_is_written_beside_the_published():
    compared = comparison()
    compared.loc[1, ["status", "paper_bound", "azuma_bound"]] = ["other recipe", np.nan, np.nan]
    written = [text.get_text() for text in draw(compared, "comparison", "gptq-4", "t").axes[0].texts]
    assert written == ["not all by GPTQ", "not run"]


def test_gaps_of_later_parts_are_above_the_loss_there():
    lines = {line.get_label(): line.get_ydata() for line in draw(certificates(), "gaps", "gptq-4", "t").axes[0].lines}
    made = certificates()
    np.testing.assert_allclose(lines["from 0.5 of the stream on"], made["certificate_from_0_5"] - made["train_loss"])
    assert "bound on the held-out loss" not in lines  # nobody has one
    np.testing.assert_allclose(lines["certificate without references"] - lines["certificate"], 0.3)


def test_a_law_is_drawn_where_a_bound_was_published():
    (axes,) = draw(online_law(), "online_law", "gptq-4", "t").axes
    assert [len(line.get_xdata()) for line in axes.lines] == [1] * 5
    assert axes.lines[-1].get_ydata().tolist() == [1.7]


def test_bounds_far_above_log_v_are_marked_and_not_drawn():
    """The axis of losses ends at 1.3 log V, and as many markers lie at its end as there are bounds beyond it."""
    drawn = draw(trajectory(), "trajectory", "gptq-4", "t")
    losses, most = drawn.axes[0], 1.3 * np.log(512)
    assert losses.get_ylim() == (0, pytest.approx(most))
    ends = [y for line in losses.lines if line.get_linestyle() == "None" for y in line.get_ydata()]
    assert len(ends) == (trajectory()["paper_bound"] > most).sum() > 0
    assert all(y < most for y in ends)
    # the dotted line at log V has no markers
    bounds = [y for line in losses.lines if line.get_linestyle() == "--" and line.get_marker() != "None" for y in line.get_ydata()]
    assert len(bounds) + len(ends) == len(trajectory())


def test_a_vacuous_bound_for_documents_is_written_as_its_number():
    written = [text.get_text() for text in draw(baselines(), "baselines", "gptq-4", "t").axes[0].texts]
    assert written == ["120", "80"]


@pytest.mark.parametrize("width", [7.0, 5.0])
def test_labels_of_sizes_do_not_run_into_each_other(width):
    with style.figure(width=width, ncols=2) as (drawn, panels):
        for axes in panels:
            style.parameter_axis(axes, [265_600, 19_696, 45_536, 105_792, 200_160, 587_800, 19_696])
        drawn.canvas.draw()
        labels = panels[0].get_xticklabels()
        boxes = [label.get_window_extent() for label in labels]
    for label, box in zip(labels, boxes):
        if label.get_text().startswith("\n"):  # of two lines, the upper of which is empty
            box.y1 = (box.y0 + box.y1) / 2
    assert len(boxes) == 6
    assert not any(left.overlaps(right) for left, right in itertools.combinations(boxes, 2))


def test_a_family_without_documents_and_certificates_is_drawn():
    names = ["heldout_loss", "heldout_standard_error", "heldout_loss_quantized", "documents", "document_bound", "certificate"]
    drawn = draw(baselines().assign(**dict.fromkeys(names, np.nan)), "baselines", "gptq-4", "t")
    labels = drawn.legends[0].get_texts()
    assert not [label for label in labels if "held-out" in label.get_text() or "documents" in label.get_text() or "certificate" in label.get_text()]


def test_the_density_of_a_hessian_has_mass_one_and_lies_where_the_nodes_are():
    rows = hessian_nodes().query("checkpoint == 'a'")
    places, density = hessian.smoothed(rows, 0.01)
    decades = hessian.stretched(places, 0.01)
    assert np.trapezoid(density, decades) == pytest.approx(1, abs=1e-3)
    # the Gaussian of the outermost node, three decades and more from the others
    far = places > 3
    assert np.trapezoid(density[far], decades[far]) == pytest.approx(1e-4, rel=0.01)


def test_the_eigenvalues_beyond_a_value_are_counted_over_the_probes():
    axes = draw(hessian_nodes(), "hessian", "gptq-4", "t").axes[1]
    above, below = axes.lines[:2]
    np.testing.assert_allclose(above.get_xdata(), [30, 30, 0.2, 0.2, 1e-3, 1e-3])
    np.testing.assert_allclose(above.get_ydata()[[1, 3, 5]], [20_000 * share for share in (0.0001, 0.1, 0.6)])
    np.testing.assert_allclose(below.get_ydata()[[1, 3]], [20_000 * share for share in (0.01, 0.4)])


def test_a_family_of_which_no_hessian_was_computed_is_drawn_and_says_so():
    drawn = draw(hessian_nodes().query("status != 'computed'"), "hessian", "gptq-4", "t")
    assert "not computed" in drawn.get_supxlabel()
    assert not drawn.axes[0].lines


def test_increases_that_are_none_are_on_a_linear_part_of_the_axis():
    assert draw(quantizability(), "quantizability", "gptq-4", "t").axes[0].get_yscale() == "symlog"
    assert draw(quantizability().query("increase > 0"), "quantizability", "gptq-4", "t").axes[0].get_yscale() == "log"


def test_what_is_drawn_of_the_loss_increase_is_the_table():
    above, below = draw(quantizability().query("method == 'rtn'"), "quantizability", "gptq-4", "t").axes
    nominal, real = above.lines[:2]
    np.testing.assert_allclose(real.get_xdata() - nominal.get_xdata(), 0.5)
    np.testing.assert_allclose(real.get_ydata(), [0.3 / 8, 0.3 / 64, -1e-4])
    np.testing.assert_allclose(below.lines[0].get_ydata(), [0.3 / 8 * k for k in (1, 2, 3, 4)])


def test_the_published_law_is_drawn_over_the_sizes_that_it_was_measured_on():
    assert published_sigma(70e6) == pytest.approx(0.754, abs=1e-3)
    assert published_sigma(6.9e9) == pytest.approx(0.3106, abs=1e-3)
    small = draw(table(), "loss_variation", "gptq-4", "t").axes
    assert len(small) == 2
    (law,) = small[1].lines
    assert (law.get_xdata().min(), law.get_xdata().max()) == (pytest.approx(70e6), pytest.approx(6.9e9))
    large = table().assign(n_params=table()["n_params"] * 10_000)
    (axes,) = draw(large, "loss_variation", "gptq-4", "t").axes
    assert [line.get_xdata().max() for line in axes.lines if "published" in line.get_label()] == [pytest.approx(6.9e9)]


def test_the_fit_recovers_a_known_law():
    sizes = np.geomspace(1e4, 1e7, 9)
    middle = np.exp(np.log(sizes).mean())
    constant, factor, exponent = loss_variation.fit(sizes, 0.27 + 0.8 * (sizes / middle) ** -0.54)
    assert constant == pytest.approx(0.27, abs=1e-3)
    assert factor == pytest.approx(0.8, abs=1e-3)
    assert exponent == pytest.approx(0.54, abs=1e-3)


def test_as_many_points_as_parameters_are_not_fitted():
    assert loss_variation.fit([1e4, 1e5, 1e6], [1, 2, 3]) is None


@pytest.mark.parametrize(("number", "text"), [(999, "999"), (5688, "5.69k"), (265600, "266k"), (1.4e6, "1.4M"), (6.9e9, "6.9B")])
def test_counts_are_short(number, text):
    assert short_count(number) == text


@pytest.mark.parametrize("name", ["information", "scaling_law"])
def test_a_family_without_loss_curves_is_drawn_without_them(name, tmp_path):
    """Released models, one checkpoint each: losses, but no information and no law."""
    table = information().groupby("line").tail(1).assign(status="single", information_nats=np.nan, law_loss=np.nan, law_information_nats=np.nan)
    style.save(draw(table, name, "gptq-4", "t"), tmp_path / "f.png", tmp_path / "f.pdf", {"stage": "figures"})
    assert (tmp_path / "f.png").stat().st_size > 0
