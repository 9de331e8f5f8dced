"""`bmenet degrade`: seeded, on the scan's own grid, with a sidecar that makes the same volume again."""

import json

import nibabel as nib
import numpy as np
import pytest

from bmenet.degradation import apply
from bmenet.scan import load_scan

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


def test_degrade_writes_the_grid_and_the_scale_of_its_input(bmenet, scan_path):
    out = scan_path.with_name("out.nii")
    assert bmenet("degrade", scan_path, out, "--code", "111").exit_code == 0
    before, after = nib.load(scan_path), nib.load(out)
    np.testing.assert_array_equal(after.affine, before.affine)
    assert after.shape == before.shape
    assert after.get_data_dtype() == before.get_data_dtype()
    clean, degraded = before.get_fdata(), after.get_fdata()
    assert np.corrcoef(clean.ravel(), degraded.ravel())[0, 1] > 0.9
    assert np.median(degraded[clean > 400]) == pytest.approx(np.median(clean[clean > 400]), rel=0.3)


def test_degrade_with_no_effect_gives_the_scan_back(bmenet, scan_path):
    out = scan_path.with_name("out.nii")
    assert bmenet("degrade", scan_path, out, "--code", "000").exit_code == 0
    np.testing.assert_array_equal(load_scan(out).volume.data, load_scan(scan_path).volume.data)


def test_the_sidecar_makes_the_degraded_scan_again(bmenet, scan_path):
    out = scan_path.with_name("out.nii.gz")
    assert bmenet("degrade", scan_path, out, "--seed", 7, "--severity", "severe").exit_code == 0
    sidecar = json.loads(out.with_name("out.json").read_text())
    assert (sidecar["code"], sidecar["seed"]) == ("111", 7)
    assert set(sidecar["parameters"]) == {"motion", "noise", "bias"}
    clean = load_scan(scan_path).volume
    scale = np.float32(sidecar["intensity_scale"])
    again = apply(clean.with_data(clean.data / scale), sidecar["parameters"]).data * scale
    np.testing.assert_array_equal(load_scan(out).volume.data, np.rint(again))


def test_degrade_passes_on_nothing_that_tells_whose_scan_it_is(bmenet, scan_path):
    out = scan_path.with_name("out.nii")
    result = bmenet("degrade", scan_path, out)
    for told in (
        out.read_bytes(),
        out.with_suffix(".json").read_bytes(),
        result.stdout.encode(),
        result.stderr.encode(),
    ):
        assert CANARY.encode() not in told


@pytest.mark.parametrize("code", ["1", "1111", "112", "abc"])
def test_degrade_refuses_a_code_that_is_none(bmenet, scan_path, code):
    result = bmenet("degrade", scan_path, scan_path.with_name("out.nii"), "--code", code)
    assert result.exit_code == 2
    assert "three digits" in result.stderr


def test_degrade_outside_a_workspace_says_what_is_missing(bmenet, scan_path):
    scan_path.with_name("params.yaml").unlink()
    out = scan_path.with_name("out.nii")
    result = bmenet("degrade", scan_path, out)
    assert result.exit_code == 1
    assert "params.yaml: no such file" in result.stderr
    assert not out.exists()
