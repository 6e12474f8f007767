"""`scalebound verify` on a sound certificate, and on certificates that somebody made to say less than they may."""

import json
import re
import shutil

import numpy as np
import pytest
from forged_certificates import ATTACKS, FILES, Forged, approximate_scores, approximate_windows_called_so

from scalebound import cli

CODED = "results/smoke/smoke-6k/quantizers/coded"
WRITTEN = ("certificate.json", *(name for name in FILES if name != "scores.parquet"))
NAMED = {attack: words for attack, (words, _) in ATTACKS.items() if words}


@pytest.fixture
def forged(finished, tmp_path):
    return Forged(shutil.copytree(finished.path(f"{CODED}/certificate"), tmp_path / "certificate"), finished.path(f"{CODED}/quantize/codes.safetensors"))


def verify(folder, capsys, *options):
    """(exit status, what was printed) of the command, in this process."""
    status = cli.main(["verify", str(folder), *options])
    shown = capsys.readouterr()
    assert "Traceback" not in shown.err
    return status, shown.out, shown.err


@pytest.mark.parametrize("slug", ["smoke-6k", "smoke-13k"])
def test_a_sound_certificate_is_verified_by_file_and_by_folder(finished, capsys, slug):
    folder = finished.path(f"results/smoke/{slug}/quantizers/coded/certificate")
    for given in (folder, folder / "certificate.json"):
        status, out, _ = verify(given, capsys, "--device", "cpu", "--share", "0.2")
        assert status == 0, out
        assert "26 windows scored again on cpu" in out
        assert "verified: files, code length, windows, choices, decoded model" in out


def test_which_windows_are_scored_again_is_drawn_anew_and_can_be_repeated(forged, capsys):
    """A default seed would tell a forger which windows to leave alone."""
    said = [verify(forged.folder, capsys, "--device", "cpu", "--share", "0.02")[1] for _ in range(2)]
    first, second = (re.search(r"--seed (\d+)", out).group(1) for out in said)
    assert first != second
    assert verify(forged.folder, capsys, "--device", "cpu", "--share", "0.02", "--seed", first)[1] == said[0]


def test_verifying_needs_the_folder_alone(forged, capsys):
    """Copied somewhere else, with a certificate whose paths lead nowhere."""
    for entry in forged.content["identity"]["inputs"].values():
        entry["path"] = "/nowhere/" + entry["path"]
    forged.save()
    assert verify(forged.folder, capsys)[0] == 0


@pytest.mark.parametrize("attack", NAMED, ids=lambda attack: attack.__name__)
def test_a_forged_certificate_is_named(forged, capsys, attack):
    attack(forged)
    forged.save()
    status, out, err = verify(forged.folder, capsys, "--share", "1")
    assert status == 1
    assert any(line.startswith("  ") and NAMED[attack] in line for line in out.splitlines()), out
    assert "The certificate does not hold as stated" in err


def test_a_difference_within_the_tolerance_is_no_difference(forged, capsys):
    """Another machine rounds otherwise: half the tolerance passes, twice the tolerance does not."""
    nll, _ = forged.scores()
    for shift, expected in ((0.001, 0), (0.004, 1)):
        forged.rewrite("scores.parquet", {"nll": (nll - shift).clip(min=0).astype(np.float32).ravel()})
        forged.certify()
        forged.save()
        assert verify(forged.folder, capsys)[0] == expected


@pytest.mark.parametrize("name", ["certificate.json", *FILES])
def test_a_flipped_byte_or_a_missing_file_is_named(forged, capsys, name):
    path = forged.folder / name
    data = bytearray(path.read_bytes())
    # in certificate.json, a digit of the value
    place = data.index(b'"value": 5.') + 9 if name == "certificate.json" else len(data) // 2
    data[place] ^= 1
    path.write_bytes(data)
    status, out, err = verify(forged.folder, capsys)
    assert status == 1
    assert "value" in out if name == "certificate.json" else name in out + err
    path.unlink()
    status, _, err = verify(forged.folder, capsys)
    assert status == 1
    assert name in err
    assert "o such file" in err


@pytest.mark.parametrize("key", ["choice", "settings", "files", "estimate", "range", "windows", "sampling", "scored"])
def test_a_certificate_without_one_of_its_parts_is_refused(forged, capsys, key):
    """Absent, or there with nothing in it."""
    empty = type(forged.content[key])()
    for content in ({k: v for k, v in forged.content.items() if k != key}, {**forged.content, key: empty}):
        (forged.folder / "certificate.json").write_text(json.dumps(content))
        status, _, err = verify(forged.folder, capsys)
        assert status == 1
        assert "certificate.json" in err or "disagreements" in err


@pytest.mark.parametrize("identity", [{"inputs": []}, {"inputs": {"message": []}}, {}, {"settings": 5}])
def test_a_certificate_whose_identity_is_none_is_refused(forged, capsys, identity):
    forged.content["identity"] = {"stage": "certify", "inputs": forged.content["identity"]["inputs"]} | identity
    if not identity:
        del forged.content["identity"]["inputs"]
    (forged.folder / "certificate.json").write_text(json.dumps(forged.content))
    status, _, err = verify(forged.folder, capsys)
    assert status == 1
    assert "certificate.json: no certificate" in err


def certify(arguments, replaced, capsys):
    """(exit status, what was printed) of the command with some of its files replaced, {option: path}."""
    words = list(arguments)
    for option, path in replaced.items():
        words[words.index(option) + 1] = str(path)
    status = cli.main(["certify", *words])
    return status, capsys.readouterr().err


@pytest.fixture
def made(finished, forged, monkeypatch):
    """Arguments of the job that made the certificate, which write into the copy of its folder."""
    monkeypatch.chdir(finished.folder)
    words = json.loads(finished.path(f"{CODED}/certificate/run.json").read_text())["arguments"]
    words = words[: words.index("--record")]
    words[words.index("--out") + 1] = str(forged.folder / "certificate.json")
    return words


def test_the_same_files_give_the_same_certificate(made, forged, capsys):
    before = forged.content
    for name in WRITTEN:
        (forged.folder / name).unlink()
    status, err = certify(made, {"--scores": forged.folder / "scores.parquet"}, capsys)
    assert (status, err) == (0, "")
    after = json.loads((forged.folder / "certificate.json").read_text())
    assert {name: value for name, value in after.items() if name != "identity"} == {name: value for name, value in before.items() if name != "identity"}
    assert verify(forged.folder, capsys)[0] == 0


@pytest.mark.parametrize("attack", [approximate_windows_called_so, approximate_scores], ids=["windows", "scores"])
def test_no_certificate_is_made_of_windows_that_are_no_uniform_draw(made, forged, capsys, attack, request):
    attack(forged)
    shutil.copy(forged.folder / "windows.parquet", forged.folder.parent / "drawn.parquet")
    for name in WRITTEN:
        (forged.folder / name).unlink()
    files = {"--windows": forged.folder.parent / "drawn.parquet", "--scores": forged.folder / "scores.parquet"}
    status, err = certify(made, files, capsys)
    assert status == 1
    assert "sampling 'approximate': its windows are no uniform draw" in err
    assert str(files[f"--{request.node.callspec.id}"]) in err
    assert not {path.name for path in forged.folder.iterdir()} & set(WRITTEN)


def test_scores_that_lie_elsewhere_are_refused_before_anything_is_computed(made, forged, capsys):
    (forged.folder / "model.sbq").write_bytes(b"not looked at")
    status, err = certify(made, {"--message": forged.folder / "model.sbq"}, capsys)
    assert status == 1
    assert "A certificate and its scores lie in one folder" in err


def test_a_folder_without_a_certificate_is_refused(tmp_path, capsys):
    status, _, err = verify(tmp_path, capsys)
    assert status == 1
    assert "certificate.json: no such file" in err
