"""Scores that memory does not hold at once: the same bounds, from the same numbers, at grid points that some of the windows chose."""

import numpy as np
import pyarrow as pa
import pytest
from sources import text_like

from scalebound.artifacts import scores as stored
from scalebound.artifacts import windows
from scalebound.artifacts.parquet import write_parquet
from scalebound.bounds import recheck, recheck_online, token_scores
from scalebound.bounds.ceilings import family_of, grids_of
from scalebound.bounds.certificate import CertificateSettings, certify_scores, plug_in
from scalebound.bounds.evaluation import Problem, direct_bound, evaluate, evaluate_online
from scalebound.bounds.token_scores import ScoresInParts, TokenScores, mean_loss
from scalebound.configuration.config import Bound
from scalebound.errors import InputError

V, WINDOWS, POSITIONS, HELD = 50, 600, 8, 800
BITS, TOKENS = 30_000, 100_000
GRIDS = grids_of("online", {})
GRID = family_of("online", GRIDS).axes
SETTINGS = Bound(failure_probability=0.02, s_points=60, alpha_points=9, alpha_min=0.003, alpha_max=0.4)


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(token_scores, "HELD_TOKENS", HELD)
    monkeypatch.setattr(stored, "PART_TOKENS", 301)


@pytest.fixture(scope="module")
def whole():
    random = np.random.default_rng(5)
    entropy = random.gamma(2.0, 0.6, (WINDOWS, POSITIONS)).clip(max=np.log(V)).astype(np.float32)
    nll = (entropy * random.exponential(1, entropy.shape)).astype(np.float32)
    return TokenScores(nll, entropy, V)


@pytest.fixture(scope="module")
def pairs():
    return text_like(WINDOWS, POSITIONS, 6, GRID["alpha"])


def in_parts(scores, size=37):
    """The same scores, `size` windows at a time."""
    return ScoresInParts(lambda: (scores.of(slice(k, k + size)) for k in range(0, len(scores), size)), len(scores), scores.positions, scores.vocab_size)


def test_every_bound_is_the_bound_of_all_windows_at_the_points_that_some_chose(whole):
    parts = in_parts(whole)
    found = evaluate(Problem(parts, 1.0, TOKENS), BITS, SETTINGS)
    chosen = {kind: found[kind] for kind in ("paper", "freedman")}
    for kind, at in chosen.items():
        # a grid of this one s, and of this one alpha, leaves the search nothing to choose; C is what was paid
        only = direct_bound(Problem(whole, 1.0, TOKENS), at["C"], np.array([at["s"]]), [at["alpha"]])
        assert at["sigma"] == pytest.approx(only["sigma"], rel=1e-12), kind
    assert found["freedman"]["bound"] == pytest.approx(only["bound"], rel=1e-12)
    family = family_of("geometric", grids_of("geometric", SETTINGS.ceilings.model_dump()))
    room = family.room(found["geometric"]["point"], whole)
    c = found["geometric"]["C"]
    assert found["geometric"]["bound"] == pytest.approx(room.tangent(family.weight(room, found["geometric"]["point"], c), c), rel=1e-12)


def test_the_search_on_some_windows_costs_little_and_never_gains(whole):
    ours, best = (evaluate(Problem(scores, 1.0, TOKENS), BITS, SETTINGS) for scores in (in_parts(whole), whole))
    for kind in ("paper", "freedman", "geometric", "azuma"):
        # the search in memory is over everything for these two; those of (G) and of s along (P) are too, or nearly
        assert -1e-9 <= ours[kind]["bound"] - best[kind]["bound"] < 0.005, kind


def test_what_fits_is_not_taken_apart(whole):
    assert whole.held() is whole
    assert [*whole.parts()] == [whole]


def test_parts_hold_the_chosen_windows_in_order(whole):
    parts, there = in_parts(whole), np.random.default_rng(7).random(WINDOWS) < 0.3
    for chosen in (there, slice(100, None), slice(None, None, 7), there.nonzero()[0]):
        some = parts.of(chosen)
        assert np.array_equal(TokenScores.joined([*some.parts()]).nll, whole.nll[chosen])
        assert len(some) == len(whole.nll[chosen])
        assert mean_loss(some) == pytest.approx(whole.nll[chosen].mean(), rel=1e-13)
    twice = parts.of(slice(50, 500)).of(slice(10, 20))
    assert np.array_equal(TokenScores.joined([*twice.parts()]).nll, whole.nll[60:70])
    assert parts.held() is parts.held()
    assert len(parts.held()) == 100


@pytest.mark.parametrize("method", ["geometric", "freedman"])
def test_a_certificate_in_parts_holds_by_the_code_that_checks_certificates(whole, method):
    made = certify_scores(in_parts(whole), TOKENS, BITS, CertificateSettings(method))
    made["estimate"]["best"] = plug_in(family_of(method, grids_of(method, {})), in_parts(whole), made["C"])
    assert recheck.disagreements(whole.nll, whole.entropy, made) == []


def test_an_online_certificate_in_parts_holds_by_the_code_that_checks_certificates(pairs):
    made = certify_scores(in_parts(pairs), TOKENS, BITS, CertificateSettings("online", grids=GRIDS))
    assert recheck_online.disagreements(pairs.nll, pairs.reference_nll, pairs.largest, made) == []


def test_the_online_bound_in_parts_is_that_of_all_windows(pairs):
    ours, best = (evaluate_online(scores, TOKENS, BITS, 0.01, GRIDS) for scores in (in_parts(pairs), pairs))
    assert 0 <= ours["bound"] - best["bound"] + 1e-12 < 0.01
    fixed = family_of("online", GRIDS)
    for name, value in fixed.parts(ours["point"], pairs, np.array([ours["C_reference"], ours["C"]]))["halves"].items():
        assert ours[name] == pytest.approx(value, rel=1e-12), name


def saved(path, scores, columns, stage, **settings):
    window, position = np.divmod(np.arange(scores.nll.size, dtype=np.int32), POSITIONS)
    table = pa.table({"window": window, "position": position} | {name: np.ravel(column) for name, column in columns.items()})
    write_parquet(path, table, {"stage": stage, "inputs": {}, "settings": settings, "packages": {}, "code": "0"})
    return path


def test_a_file_in_parts_is_the_file(tmp_path, whole):
    path = saved(tmp_path / "scores.parquet", whole, {"nll": whole.nll, "entropy": whole.entropy}, "score")
    parts, identity = stored.open_scores(path, V, held=HELD)
    assert isinstance(parts, ScoresInParts)
    assert (len(parts), parts.positions, identity["stage"]) == (WINDOWS, POSITIONS, "score")
    again = TokenScores.joined([*parts.parts()])
    assert np.array_equal(again.nll, whole.nll)
    assert np.array_equal(again.entropy, whole.entropy)
    assert isinstance(stored.open_scores(path, V)[0], TokenScores)


def test_a_file_of_pairs_in_parts_is_the_file(tmp_path, pairs):
    steps = np.repeat(np.arange(WINDOWS, dtype=np.int32) // 90, POSITIONS)
    columns = {"nll": pairs.nll, "entropy": 0 * pairs.nll, "reference_nll": pairs.reference_nll, "reference": steps}
    columns |= dict(zip(stored.largest_names(pairs.alphas), pairs.largest))
    path = saved(tmp_path / "scores.parquet", pairs, columns, "score-references", alphas=list(pairs.alphas))
    parts, found, _ = stored.open_pair_scores(path, pairs.vocab_size, held=HELD)
    assert isinstance(parts, ScoresInParts)
    assert np.array_equal(found, steps[::POSITIONS])
    again = type(pairs).joined([*parts.parts()])
    assert np.array_equal(again.reference_nll, pairs.reference_nll)
    assert all(np.array_equal(a, b) for a, b in zip(again.largest, pairs.largest))
    steps[POSITIONS * 300 + 1] += 1
    path = saved(path, pairs, columns | {"reference": steps}, "score-references", alphas=list(pairs.alphas))
    with pytest.raises(InputError, match="two references in one window"):
        stored.open_pair_scores(path, pairs.vocab_size, held=HELD)


@pytest.mark.parametrize("place", [5, 2000, WINDOWS * POSITIONS - 1])
def test_what_is_wrong_in_any_part_is_found_and_said_of_the_file(tmp_path, whole, place):
    for name, value, said in (("nll", -1.0, "losses from -1"), ("entropy", np.nan, "NaN"), ("position", 77, "out of order|rows of")):
        columns = {"nll": whole.nll.ravel().copy(), "entropy": whole.entropy.ravel().copy()}
        path = saved(tmp_path / "scores.parquet", whole, columns, "score")
        table = pa.parquet.read_table(path)
        altered = table[name].to_numpy().copy()
        altered[place] = value
        pa.parquet.write_table(table.set_column(table.schema.get_field_index(name), name, pa.array(altered)), path)
        with pytest.raises(InputError, match=said) as error:
            stored.open_scores(path, V, held=HELD)
        assert error.value.where == str(path)


def test_rows_of_windows_without_their_tokens(tmp_path, monkeypatch):
    monkeypatch.setattr(windows, "PART_WINDOWS", 7)
    random, path = np.random.default_rng(3), tmp_path / "windows.parquet"
    rows, tokens = random.integers(0, 1000, 40), random.integers(0, V, (40, 9), dtype=np.int32)
    windows.write(path, rows, tokens, {"stage": "sample", "inputs": {}, "settings": {}, "packages": {}, "code": "0"})
    found, shape, identity = windows.read_rows(path)
    assert np.array_equal(found, rows)
    assert (shape, identity) == ((40, 9), windows.read(path)[2])
    tokens[33, 3] += 1
    windows.write_parquet(path, pa.table({"row": rows, "tokens": list(tokens)}), identity)
    with pytest.raises(InputError, match="not those of its identity"):
        windows.read_rows(path)
