"""Figures: the same bytes for the same table, fits that recover a known law, and what is drawn with few points."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from scalebound.bounds_table import BOUNDS, CERTIFICATES, COMPARISON, read_family_table
from scalebound.commands.figures import FIGURES, draw
from scalebound.counts import short_count
from scalebound.errors import InputError
from scalebound.figures import loss_variation, rates, style

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
                row |= {"vocab_size": 512, "sigma": 0.3 + 0.1 * k, "coded_bits_per_param": bits + 0.5, "freedman_bound_coded": 5.9 - 0.5 * k}
                row |= {"term_parameters_per_token": 0.9, "term_loss_variation": 0.2, "term_smoothing": 0.4, "term_quantization_gap": 0.01}
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
    return pd.DataFrame(rows | {"gap_ratio": 0.64, "coded_bits_per_param": 2.5})


def known_truth():
    """Three checkpoints on an oracle stream and one that is not."""
    truth = np.array([3.9, 3.6, 3.2, np.nan])
    return certificates().assign(true_risk=truth, trained_risk=truth - 0.1)


TABLES = {"comparison": comparison, "certificates": certificates, "oracle": known_truth}


@pytest.mark.parametrize("name", FIGURES)
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


@pytest.mark.parametrize(("make", "columns"), [(table, BOUNDS), (comparison, COMPARISON), (certificates, CERTIFICATES)])
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
