"""`scalebound verify` on a sound certificate, and on certificates that somebody made to say less than they may."""

import json
import shutil

import numpy as np
import pytest
from forged_certificates import ATTACKS, Forged

from scalebound import cli

CODED = "results/smoke/smoke-6k/quantizers/coded"
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
        forged.rewrite("scores.parquet", {"nll": (nll + shift).astype(np.float32).ravel()})
        forged.certify()
        forged.save()
        assert verify(forged.folder, capsys)[0] == expected


@pytest.mark.parametrize("name", ["certificate.json", "model.sbq", "architecture.json", "windows.parquet", "scores.parquet"])
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


def test_a_folder_without_a_certificate_is_refused(tmp_path, capsys):
    status, _, err = verify(tmp_path, capsys)
    assert status == 1
    assert "certificate.json: no such file" in err
