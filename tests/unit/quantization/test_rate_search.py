"""The search for a rate where no tuning follows, and what is said of a code that has lost the model."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from scalebound.artifacts import atomic, windows
from scalebound.artifacts.provenance import describe_files
from scalebound.commands import compress as command
from scalebound.configuration.rate import RateSettings
from scalebound.models.unfinished import NOWHERE
from scalebound.quantization.rate.compress import FAR_WORSE, FLAT, STRIDE, Candidate, Compressed, compress, search

MODEL_LOSS, LOST = 2.0, 3.0


def searched(price, loss, starts):
    """Exponents in the order tried, and the one with the least price."""
    candidates = []

    def weigh(exponent):
        assert len(candidates) < 60, "the search does not end"
        candidates.append(Candidate(exponent, False, 1.0, loss(exponent), price(exponent)))

    for start in starts:
        weigh(start)
    search(weigh, candidates, LOST)
    return [c.exponent for c in candidates], min(candidates, key=lambda c: c.price).exponent


def valley(exponent):
    return 4 + 0.02 * (exponent + 21) ** 2


@pytest.mark.parametrize("starts", [[-3], [-9, -7, -5], [-21], [-40], [-45, -5]])
def test_the_search_ends_one_stride_beyond_the_least_price(starts):
    tried, best = searched(valley, lambda _: MODEL_LOSS, starts)
    least = min(tried, key=valley)
    assert best == least
    assert valley(best) < valley(min(starts, key=valley)) or best in starts
    if len(starts) == 1:
        assert abs(best + 21) <= STRIDE / 2 + 1e-9
        assert {best - STRIDE, best + STRIDE} <= set(tried)


def test_prices_between_the_rates_that_were_asked_for_are_left_alone():
    tried, _ = searched(valley, lambda _: MODEL_LOSS, [-23, -21, -19])
    assert tried == [-23, -21, -19]


def test_a_plain_where_every_code_is_zero_is_crossed():
    def price(exponent):
        return 6.2 + 1e-4 * (exponent % 3) if exponent > -20 else valley(exponent)

    tried, best = searched(price, lambda e: 6.2 if e > -20 else 2.5, [-3])
    assert best in (-21, -22)
    # coarser steps gain nothing there, and are not followed
    assert max(tried) <= -3 + STRIDE


def test_a_price_that_hardly_moves_ends_the_search_of_a_model_that_is_not_lost():
    # as n grows the code costs nothing, and every finer step is a little better only until the loss is that of the model
    tried, _ = searched(lambda e: MODEL_LOSS + 1e-6 * -e, lambda _: MODEL_LOSS, [-3])
    assert len(tried) <= 3


def compressed(saved, load, calibration, **settings):
    return compress(
        load(saved.folder),
        saved.architecture["parameters"],
        RateSettings(**{"exchange": 6.5, "sensitivity_windows": 4} | settings),
        calibration,
        calibration[:0],
        20_000,
    )


def test_without_tuning_the_default_offset_is_where_the_search_begins(saved_neox, load, calibration):
    found = compressed(saved_neox, load, calibration)
    exponents = [c.exponent for c in found.candidates]
    best = found.candidates[found.chosen]
    assert best.price == min(c.price for c in found.candidates)
    assert min(exponents) < best.exponent < max(exponents) or best.price > found.candidates[exponents.index(max(exponents))].price - FLAT
    # from a start that is far too fine, the same valley
    again = compressed(saved_neox, load, calibration, step_offsets=(-15,))
    assert again.candidates[again.chosen].price < again.candidates[0].price


def report(loss, model_loss):
    candidate = Candidate(-20, False, 100.0, loss, loss + 1)
    return Compressed({}, [candidate], 0, [], 0, 0.0, model_loss, 1.0)


def test_a_code_that_has_lost_the_model_is_said_so():
    assert report(3.0, 2.5).notice() is None
    assert report(2.5 + FAR_WORSE, 2.5).notice() is None
    assert "5.700 nats, the model 2.500" in report(5.7, 2.5).notice()
    assert json.loads(json.dumps(report(5.7, 2.5).report()))["model_loss"] == 2.5


def test_the_command_prints_the_notice(saved_neox, load, capsys, tmp_path):
    """A step that is far too coarse, with a tuning too short to mend it."""
    atomic.write_json(tmp_path / "architecture.json", {"identity": {"stage": "resolve"}, **saved_neox.architecture})
    files = describe_files(saved_neox.folder, ("config.json", "model.safetensors"))
    atomic.write_json(tmp_path / "resolved.json", {"identity": {"stage": "resolve"}, "folder": str(saved_neox.folder), "files": files, "vocab_size": 61})
    own = sampled(load(saved_neox.folder))
    windows.write(tmp_path / "windows.parquet", np.arange(len(own)), own, {"stage": "sample"})
    settings = {"exchange": 6.5, "step_offsets": [60], "sensitivity_windows": 4, "tuning": {"share_of_training": 0.001, "learning_rate": 1e-9}}
    outputs = {"out": tmp_path / "codes.safetensors", "out_message": tmp_path / "model.sbq", "out_report": tmp_path / "code.json"}
    inputs = {"model": tmp_path / "resolved.json", "architecture": tmp_path / "architecture.json", "predictions": 200_000}
    given = {"calibration": tmp_path / "windows.parquet", "tuning": tmp_path / "windows.parquet", "price": None, "unfinished": lambda *_: NOWHERE}
    command.run(SimpleNamespace(settings=json.dumps(settings), device="cpu", threads=1, **inputs, **given, **outputs))
    found = json.loads((tmp_path / "code.json").read_text())
    assert found["candidates"][found["chosen"]]["loss"] > found["model_loss"] + FAR_WORSE
    assert capsys.readouterr().out.startswith("notice: the chosen code has a loss of ")


def sampled(model):
    """Windows that a model with sharpened logits draws: its loss on them is far below that of a uniform guess."""
    generator, tokens = torch.Generator().manual_seed(0), torch.randint(0, 61, (32, 1), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        for _ in range(15):
            share = (model(input_ids=tokens).logits[:, -1] * 6).softmax(-1)
            tokens = torch.cat([tokens, torch.multinomial(share, 1, generator=generator)], 1)
    return tokens.numpy()
