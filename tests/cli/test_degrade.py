"""`bmenet degrade`: seeded, on the scan's own grid, with a sidecar that makes the same volume again."""

import json
import shutil

import nibabel as nib
import numpy as np
import pytest

from bmenet.imaging.scan import load_scan
from bmenet.imaging.scan import sidecar as module
from bmenet.runtime.files import sha256

CANARY = "JaneDoe19"


def test_degrade_is_the_same_for_the_same_seed_and_another_for_another(bmenet, scan_path):
    outs = [scan_path.with_name(f"{name}.nii.gz") for name in "abcd"]
    for out, options in zip(
        outs, [("--seed", 3), ("--seed", 3), ("--seed", 4), ("--seed", 3, "--code", "010")], strict=True
    ):
        result = bmenet("degrade", scan_path, out, *options)
        assert (result.exit_code, result.stdout) == (0, f"{out}\n")
    first, again, other_seed, other_code = (out.read_bytes() for out in outs)
    assert first == again
    assert len({first, other_seed, other_code}) == 3


def test_degrade_writes_the_grid_and_the_scale_of_its_input_and_no_effect_gives_it_back(bmenet, scan_path):
    out, same = scan_path.with_name("out.nii"), scan_path.with_name("same.nii")
    result = bmenet("degrade", scan_path, out, "--code", "111")
    assert result.exit_code == 0
    assert bmenet("degrade", scan_path, same, "--code", "000").exit_code == 0
    assert bmenet("degrade", scan_path, out, "--code", "112").exit_code == 2
    before, after = nib.load(scan_path), nib.load(out)
    np.testing.assert_array_equal(after.affine, before.affine)
    assert after.shape == before.shape
    assert after.get_data_dtype() == before.get_data_dtype()
    clean, degraded = before.get_fdata(), after.get_fdata()
    assert np.corrcoef(clean.ravel(), degraded.ravel())[0, 1] > 0.9
    assert np.median(degraded[clean > 400]) == pytest.approx(np.median(clean[clean > 400]), rel=0.3)
    np.testing.assert_array_equal(load_scan(same).volume.data, load_scan(scan_path).volume.data)
    files = out.read_bytes() + out.with_suffix(".json").read_bytes()
    assert CANARY.encode() not in files + (result.stdout + result.stderr).encode()


def test_from_a_sidecar_the_same_file_comes_again(bmenet, scan_path):
    first, again = scan_path.with_name("first.nii.gz"), scan_path.with_name("again.nii.gz")
    assert bmenet("degrade", scan_path, first, "--seed", 7, "--severity", "mild").exit_code == 0
    found = json.loads(first.with_name("first.json").read_text())
    assert (found["code"], found["seed"], found["clean_sha256"]) == ("111", 7, sha256(scan_path))
    scan_path.with_name("params.yaml").unlink()  # the sidecar is all that is needed
    result = bmenet("degrade", scan_path, again, "--from", first.with_name("first.json"))
    assert (result.exit_code, result.stdout) == (0, f"{again}\n")
    assert again.read_bytes() == first.read_bytes()
    assert again.with_name("again.json").read_bytes() == first.with_name("first.json").read_bytes()
    own_settings = bmenet("degrade", scan_path, again, "--from", first.with_name("first.json"), "--seed", 0)
    assert own_settings.exit_code == 2
    assert "expected no --code, --seed or --severity" in " ".join(own_settings.stderr.split())


def test_from_a_sidecar_another_input_is_refused(bmenet, scan_path):
    out = scan_path.with_name("out.nii")
    assert bmenet("degrade", scan_path, out).exit_code == 0
    result = bmenet("degrade", out, scan_path.with_name("again.nii"), "--from", out.with_suffix(".json"))
    assert result.exit_code == 1
    assert f"expected the clean scan that the sidecar was made from, SHA-256 {sha256(scan_path)}" in result.stderr
    assert not list(scan_path.parent.glob("again.*"))


@pytest.mark.parametrize(
    ("changes", "message"), [({"format": 99}, "got 99"), ({"parameters": {"noise": {}}}, "damaged"), (None, "no JSON")]
)
def test_from_a_damaged_sidecar_is_one_line(bmenet, scan_path, changes, message):
    out = scan_path.with_name("out.nii")
    assert bmenet("degrade", scan_path, out).exit_code == 0
    path = out.with_suffix(".json")
    path.write_text("{" if changes is None else json.dumps(json.loads(path.read_text()) | changes))
    result = bmenet("degrade", scan_path, scan_path.with_name("again.nii"), "--from", path)
    assert result.exit_code == 1
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("step", ["save_scan", "write_json"])
def test_a_killed_degrade_leaves_no_sidecar_beside_a_scan_it_does_not_make(bmenet, scan_path, monkeypatch, step):
    out = scan_path.with_name("out.nii")
    assert bmenet("degrade", scan_path, out, "--seed", 1).exit_code == 0
    older, recipe = out.read_bytes(), out.with_suffix(".json").read_bytes()

    def die(*_arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, step, die)
    if step == "save_scan":  # killed while it makes the same scan again, it keeps the recipe
        assert bmenet("degrade", scan_path, out, "--from", out.with_suffix(".json")).exit_code == 130
        assert out.with_suffix(".json").read_bytes() == recipe
    assert bmenet("degrade", scan_path, out, "--seed", 2).exit_code == 130
    assert not out.with_suffix(".json").exists()
    assert (out.read_bytes() == older) == (step == "save_scan")


@pytest.mark.parametrize("content", ['{"EchoTime": 0.003, "format": 1}', "[]", "no JSON", b"\xff\xfe"])
def test_degrade_never_replaces_the_json_of_somebody_else(bmenet, scan_path, content):
    clean, mine = scan_path.with_name("h.nii.gz"), scan_path.with_name("h.json")
    shutil.copy(scan_path, clean)
    content = content if isinstance(content, bytes) else content.encode()
    mine.write_bytes(content)
    result = bmenet("degrade", clean, clean.with_name("h.nii"))
    assert result.exit_code == 1
    assert f"{mine}: expected no file, or the sidecar of a degraded scan" in result.stderr
    assert mine.read_bytes() == content
    assert not clean.with_name("h.nii").exists()


def test_a_sidecar_that_the_disk_refuses_or_whose_name_is_too_long_is_one_line(bmenet, scan_path, monkeypatch):
    def refuse(*_arguments):
        raise OSError(28, "No space left on device")

    out = scan_path.with_name("n" * 251 + ".nii")
    assert "the sidecar cannot be written (File name too long)" in bmenet("degrade", scan_path, out).stderr
    assert not out.exists()
    monkeypatch.setattr(module, "write_json", refuse)
    result = bmenet("degrade", scan_path, scan_path.with_name("out.nii"))
    assert result.exit_code == 1
    assert result.stderr == f"bmenet: {scan_path.with_name('out.json')}: cannot be written (No space left on device)\n"


def test_degrade_outside_a_workspace_takes_the_ranges_of_the_default_profile(bmenet, scan_path):
    """The presets of the workspace are the default's, so the volumes are the same."""
    inside, outside = scan_path.with_name("inside.nii"), scan_path.with_name("outside.nii")
    assert bmenet("degrade", scan_path, inside, "--seed", 3).exit_code == 0
    scan_path.with_name("params.yaml").unlink()
    assert bmenet("degrade", scan_path, outside, "--seed", 3).exit_code == 0
    assert outside.read_bytes() == inside.read_bytes()
