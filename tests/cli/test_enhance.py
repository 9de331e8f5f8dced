"""`bmenet enhance`: same grid out as in, clear refusals, nothing half-written, nobody's name."""

import base64
import gzip
import json
import os
import re

import nibabel as nib
import numpy as np
import pytest

from bmenet.evaluation.quality import MEASURES, scans
from bmenet.evaluation.quality.scans import Quality
from bmenet.release.released import DEFAULT_NAME
from bmenet.restoration import enhancer
from bmenet.restoration.bundle import open_bundle
from bmenet.restoration.phase_encoding import PhaseEncoding
from bmenet.runtime.errors import VolumeError
from bmenet.runtime.files import sha256
from tests.bundled import install_release
from tests.fine_networks import make_fine_net, save_fine_net

CANARY = "JaneDoe19"
FEW = ("--stage", "fine", "--samples", 2, "--steps", 2, "--start", 100, "--guidance", 0)


@pytest.mark.usefixtures("lone_brain", "weights")
def test_enhance_writes_the_grid_of_its_input_and_nothing_that_tells_whose_scan_it_is(bmenet, scan_path):
    out = scan_path.with_name("out.nii.gz")
    result = bmenet("enhance", scan_path, out)
    assert (result.exit_code, result.stdout) == (0, f"{out}\n")
    assert "skull-stripped brain; similarity to the template 0.90" in result.stderr
    before, after = nib.load(scan_path), nib.load(out)
    np.testing.assert_array_equal(after.affine, before.affine)
    for field in ("dim", "datatype", "pixdim", "qform_code", "sform_code", "xyzt_units"):
        np.testing.assert_array_equal(after.header[field], before.header[field], err_msg=field)
    assert np.asarray(after.dataobj)[np.asarray(before.dataobj) == 0].max() == 0
    assert sorted(os.listdir(out.parent)) == ["JaneDoe19.nii.gz", "out.json", "out.nii.gz", "params.yaml", "weights"]
    packed = out.read_bytes()
    for told in (packed, gzip.decompress(packed), result.stdout.encode(), result.stderr.encode()):
        assert CANARY.encode() not in told


@pytest.mark.usefixtures("lone_brain", "weights")
def test_a_sidecar_tells_how_the_result_came_about_and_replaces_none_of_somebody_else(bmenet, scan_path):
    out = scan_path.with_name("out.nii.gz")
    for _ in range(2):
        assert bmenet("enhance", scan_path, out, "--keep-field").exit_code == 0
    text = out.with_name("out.json").read_text(encoding="utf-8")
    sidecar = json.loads(text)
    assert sidecar["enhanced"]["is_skull_stripped"] is True
    assert sidecar["enhanced"]["field_size"] >= 0
    assert sidecar["settings"]["intensity inhomogeneity"] == "left as it is"
    assert sidecar["origin"]["input: SHA-256"] == sha256(scan_path)
    assert CANARY not in text
    theirs = scan_path.with_name("theirs.json")
    theirs.write_text('{"EchoTime": 0.003}', encoding="utf-8")
    refused = bmenet("enhance", scan_path, scan_path.with_name("theirs.nii.gz"))
    assert refused.exit_code == 1
    assert "choose another name for OUT" in refused.stderr
    assert theirs.read_text(encoding="utf-8") == '{"EchoTime": 0.003}'
    assert not scan_path.with_name("theirs.nii.gz").exists()


@pytest.mark.usefixtures("lone_brain", "weights", "quality")
@pytest.mark.parametrize(
    ("strength", "told", "listed"),
    [(1.0, None, "100%"), (0.0, "it comes back as it came", "0%"), (0.25, "25% of the change", "25%")],
)
def test_enhance_says_where_not_all_of_the_restoration_was_applied(
    bmenet, scan_path, monkeypatch, strength, told, listed
):
    monkeypatch.setattr(enhancer, "adaptive_strength", lambda *_: strength)
    result = bmenet("enhance", scan_path, scan_path.with_name("out.nii"), "--report")
    assert (told or "skull-stripped brain") in result.stderr
    assert ("in this scan" in result.stderr) == (told is not None)
    page = scan_path.with_name("out.html").read_text()
    assert f"part of the restoration that was applied</dt><dd>{listed}</dd>" in page


@pytest.mark.usefixtures("lone_brain", "weights")
@pytest.mark.parametrize(("options", "listed"), [((), "taken out"), (("--keep-field",), "left as it is")])
def test_enhance_leaves_the_field_when_asked_and_a_quality_not_measured_does_not_cost_the_report(
    bmenet, scan_path, monkeypatch, options, listed
):
    def measure_pair(before, after, brain, has_field):
        assert has_field == bool(options)
        raise VolumeError("`volume`: expected three tissues inside the brain mask; got 2 classes")

    monkeypatch.setattr(scans, "measure_pair", measure_pair)
    monkeypatch.setattr(enhancer, "own_field", lambda restored, scan, spacing_mm: np.zeros_like(restored))
    out = scan_path.with_name("out.nii")
    assert bmenet("enhance", scan_path, out, "--report", *options).exit_code == 0
    page = out.with_suffix(".html").read_text(encoding="utf-8")
    assert f"intensity inhomogeneity</dt><dd>{listed}</dd>" in page
    assert "The quality could not be measured" in page
    assert str(scan_path) not in page
    assert (np.asarray(nib.load(out).dataobj).max() == 0) == bool(options)


@pytest.mark.usefixtures("lone_brain", "weights")
def test_enhance_says_how_much_is_brighter_than_in_any_training(bmenet, scan_path, monkeypatch):
    monkeypatch.setattr(enhancer, "too_bright", lambda restored, scan, brain_mask: scan.with_data(0 * scan.data))
    monkeypatch.setattr(enhancer, "litres", lambda excess: 0.0123)
    out = scan_path.with_name("out.nii")
    assert "12.3 ml of the brain are brighter" in bmenet("enhance", scan_path, out).stderr
    assert json.loads(out.with_suffix(".json").read_text())["enhanced"]["too_bright_ml"] == 12.3


@pytest.mark.parametrize(
    ("encoding", "told"),
    [
        (PhaseEncoding(2, "air", 0.81), "phase encoding along SI, as ghosts in the air tell (confidence 0.81)"),
        (PhaseEncoding(1, "header", 1.0), "phase encoding along AP, as its header or sidecar says"),
        (PhaseEncoding(1, "usual", 0.0), "phase encoding along AP, as usual, for nothing tells; --phase-encode-axis"),
    ],
)
@pytest.mark.usefixtures("lone_brain", "weights")
def test_enhance_says_along_which_axis_motion_spread(bmenet, scan_path, monkeypatch, encoding, told):
    asked = []
    monkeypatch.setattr(
        enhancer.Enhancer, "_phase_encoding", lambda self, *_: asked.append(self.phase_encode_axis) or encoding
    )
    out = scan_path.with_name("out.nii")
    assert told in bmenet("enhance", scan_path, out, "--phase-encode-axis", "SI").stderr
    assert asked == ["SI"]
    sidecar = json.loads(out.with_suffix(".json").read_text())["enhanced"]
    assert sidecar["phase_encode_axis"] == encoding.name
    assert sidecar["phase_encode_axis_from"] == encoding.source
    assert sidecar["phase_encode_axis_confidence"] == encoding.confidence


@pytest.mark.usefixtures("lone_brain", "weights")
def test_enhance_writes_the_standard_grid_when_asked(bmenet, scan_path):
    out = scan_path.with_name("out.nii")
    assert bmenet("enhance", scan_path, out, "--space", "template").exit_code == 0
    image = nib.load(out)
    assert image.shape == (40, 56, 40)
    assert int(image.header["sform_code"]) == 4
    again = bmenet("enhance", out, scan_path.with_name("again.nii"))
    assert "already in standard space, not registered again; similarity to the template 0.90" in again.stderr


@pytest.mark.usefixtures("lone_brain")
def test_enhance_takes_the_model_from_the_option_or_the_environment(bmenet, scan_path, weights, monkeypatch):
    elsewhere = weights.rename(weights.parent / "mine")
    out = scan_path.with_name("out.nii")
    assert bmenet("enhance", scan_path, out).exit_code == 1
    assert f"model: {elsewhere}, torch on" in bmenet("enhance", scan_path, out, "--model", elsewhere).stderr
    monkeypatch.setenv("BMENET_MODEL", str(elsewhere))
    assert f"model: {elsewhere}, torch on" in bmenet("enhance", scan_path, out).stderr


@pytest.mark.usefixtures("lone_brain")
def test_enhance_takes_the_released_weights_where_nobody_names_others(bmenet, scan_path, tmp_path, monkeypatch):
    released = install_release(tmp_path / "released", monkeypatch)
    digest = open_bundle(released).digest[:12]
    outs = [scan_path.with_name(f"{name}.nii") for name in ("default", "named")]
    told = [
        bmenet("enhance", scan_path, out, "--device", "cpu", *options).stderr
        for out, options in zip(outs, ((), ("--model", DEFAULT_NAME, "--runtime", "onnx")), strict=True)
    ]
    assert f"model: {DEFAULT_NAME} ({digest}), torch on cpu" in told[0]
    assert f"model: {DEFAULT_NAME} ({digest}), onnx on cpu" in told[1]
    images = [np.asarray(nib.load(out).dataobj).astype(float) for out in outs]
    assert np.abs(images[0] - images[1]).mean() < 0.01 * images[0].max()


def test_enhance_without_a_model_says_what_to_do(bmenet, scan_path, tmp_path, monkeypatch):
    monkeypatch.setattr("bmenet.release.released.RELEASED_FOLDER", tmp_path)
    out = scan_path.with_name("out.nii")
    result = bmenet("enhance", scan_path, out)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"bmenet: {DEFAULT_NAME}: ")
    assert "--model, BMENET_MODEL" in result.stderr
    assert not out.exists()


@pytest.mark.parametrize("command", ["enhance", "degrade"])
@pytest.mark.parametrize(
    ("content", "reason"), [(None, "No such file"), (b"", "empty file"), (b"no scan at all" * 99, "expected a NIfTI")]
)
def test_a_bad_scan_ends_in_one_line_and_leaves_nothing(bmenet, workspace, command, content, reason):
    path = workspace / "bad.nii"
    if content is not None:
        path.write_bytes(content)
    before = sorted(os.listdir(workspace))
    result = bmenet(command, path, workspace / "out.nii")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("bmenet: ")
    assert result.stderr.count("\n") == 1
    assert reason in result.stderr
    assert sorted(os.listdir(workspace)) == before


@pytest.mark.parametrize("command", ["enhance", "degrade"])
@pytest.mark.parametrize("out", ["JaneDoe19.nii.gz", "link.nii.gz", "none/out.nii", "out.img", "."])
def test_an_impossible_output_is_wrong_use_and_the_input_stays(bmenet, scan_path, command, out):
    scan_path.with_name("link.nii.gz").symlink_to(scan_path)
    before = scan_path.read_bytes()
    result = bmenet(command, scan_path, scan_path.with_name("x").parent / out)
    assert result.exit_code == 2
    assert "Invalid value for OUT" in result.stderr
    assert scan_path.read_bytes() == before
    assert not scan_path.with_name("none").exists()


@pytest.mark.parametrize("command", ["enhance", "degrade"])
@pytest.mark.parametrize("name", ["n" * 252 + ".nii", "ö" * 126 + ".nii"])
def test_a_name_that_no_file_can_have_ends_in_one_line(bmenet, scan_path, command, name):
    before = sorted(os.listdir(scan_path.parent))
    result = bmenet(command, scan_path, scan_path.with_name(name))
    assert result.exit_code == 1
    assert result.stderr == f"bmenet: {scan_path.with_name(name)}: cannot be written (File name too long)\n"
    assert sorted(os.listdir(scan_path.parent)) == before


@pytest.mark.usefixtures("lone_brain", "weights")
@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs Linux's /proc")
def test_a_place_that_takes_no_file_ends_in_one_line(bmenet, scan_path):
    result = bmenet("enhance", scan_path, "/proc/x.nii.gz")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines()[-1].startswith("bmenet: /proc/x.nii.gz: cannot be written (")


@pytest.fixture
def both_stages(weights):
    """Untrained weights of both stages."""
    save_fine_net(make_fine_net(), weights.parent)
    return weights


@pytest.mark.usefixtures("lone_brain", "both_stages")
def test_enhance_runs_the_second_stage_when_asked_and_writes_the_spread_of_its_samples(bmenet, scan_path):
    coarse, fine, again = (scan_path.with_name(f"{name}.nii.gz") for name in ("coarse", "fine", "again"))
    assert bmenet("enhance", scan_path, coarse).exit_code == 0
    for out in (fine, again):
        assert bmenet("enhance", scan_path, out, *FEW, "--seed", 3).exit_code == 0
    images = [np.asarray(nib.load(path).dataobj) for path in (coarse, fine, again)]
    assert np.abs(images[0] - images[1]).max() > 0
    assert fine.read_bytes() == again.read_bytes()
    spread = np.asarray(nib.load(scan_path.with_name("fine_std.nii.gz")).dataobj)
    assert spread.shape == images[1].shape
    assert spread.max() > 0
    refused = bmenet("enhance", scan_path, scan_path.with_name("out.nii.gz"), "--stage", "fine", "--start", 900)
    assert refused.exit_code == 1
    assert "start_timestep: expected at most 400" in refused.stderr
    assert not scan_path.with_name("out.nii.gz").exists()


@pytest.mark.usefixtures("lone_brain", "weights")
@pytest.mark.parametrize(
    ("options", "reason"),
    [(("--stage", "fine"), "dvc repro train_autoencoder"), (("--device", "cuda"), "expected a GPU")],
)
def test_enhance_without_the_second_stage_s_networks_or_a_gpu_says_so(bmenet, scan_path, monkeypatch, options, reason):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    result = bmenet("enhance", scan_path, scan_path.with_name("out.nii.gz"), *options)
    assert result.exit_code == 1
    assert reason in result.stderr


@pytest.mark.usefixtures("weights")
def test_enhance_takes_values_out_of_range_and_a_folder_as_report_for_wrong_use(bmenet, scan_path):
    scan_path.with_name("out.html").mkdir()
    for options in (("--steps", 0), ("--strength", 2), ("--samples", 0), ("--guidance", -1), ("--report",)):
        assert bmenet("enhance", scan_path, scan_path.with_name("out.nii"), "--stage", "fine", *options).exit_code == 2


@pytest.fixture
def quality(monkeypatch):
    """Let every measure be the number of voxels above 0: the phantom's tissues are too few to be segmented."""

    def measure(volume):
        quality = Quality(dict.fromkeys(MEASURES, float(np.count_nonzero(volume.data > 0))), {})
        return scans.ScanQuality(quality, True, 1.0, (1.0,) * 3, ())

    monkeypatch.setattr(
        scans, "measure_pair", lambda before, after, brain, has_field: (measure(before), measure(after))
    )


def embedded_volumes(page: str) -> list[bytes]:
    return [
        gzip.decompress(base64.b64decode(found)) for found in re.findall(r'id="volume-\d+">([A-Za-z0-9+/=]+)<', page)
    ]


@pytest.mark.usefixtures("lone_brain", "weights", "quality")
def test_enhance_writes_a_report_beside_its_output(bmenet, scan_path):
    out = scan_path.with_name("out.nii.gz")
    result = bmenet("enhance", scan_path, out, "--report")
    assert (result.exit_code, result.stdout) == (0, f"{out}\n")
    report = scan_path.with_name("out.html")
    assert f"report: {report} (" in result.stderr
    page = report.read_text(encoding="utf-8")
    before, after, difference = (nib.Nifti1Image.from_bytes(packed) for packed in embedded_volumes(page))
    change = after.get_fdata() - before.get_fdata()
    assert np.corrcoef(change.ravel(), difference.get_fdata().ravel())[0, 1] > 0.95
    count = np.count_nonzero(np.asarray(nib.load(scan_path).dataobj))
    assert f"<td>{count}.000</td>" in page


@pytest.mark.usefixtures("lone_brain", "both_stages", "quality")
def test_a_report_tells_how_the_second_stage_was_run_from_which_weights_and_not_whose_scan_it_is(
    bmenet, scan_path, weights
):
    out = scan_path.with_name(f"{CANARY}_out.nii.gz")
    options = (*FEW, "--seed", 7, "--space", "template", "--report")
    assert bmenet("enhance", scan_path, out, *options).exit_code == 0
    page = scan_path.with_name(f"{CANARY}_out.html").read_text(encoding="utf-8")
    pictures = [base64.b64decode(found) for found in re.findall(r'src="data:image/png;base64,([A-Za-z0-9+/=]+)', page)]
    volumes = embedded_volumes(page)
    assert (len(volumes), len(pictures)) == (4, 1)
    for told in (page.encode(), *volumes, *pictures):
        assert CANARY.encode() not in told
        assert str(scan_path.parent).encode() not in told
    for name, value in (("seed", "7"), ("sampling.start_timestep", "100"), ("space", "template")):
        assert f"<dt>{name}</dt><dd>{value}</dd>" in page
    for kind in ("coarse", "fine"):
        spec = (weights.parent / kind / "model.json").read_text(encoding="utf-8")
        assert re.search(rf"<dt>{kind}: weights SHA-256</dt><dd>([0-9a-f]+)</dd>", page).group(1) in spec
    assert '"kind": "uncertainty"' in page
    assert {nib.Nifti1Image.from_bytes(packed).affine[0, 0] for packed in volumes} == {4.0}


@pytest.mark.parametrize(("name", "options"), [("out.html", ["--report"]), ("out_std.nii.gz", ["--stage", "fine"])])
def test_enhance_never_writes_a_second_output_over_its_input(bmenet, scan_path, name, options):
    scan = scan_path.rename(scan_path.with_name(name))
    before = scan.read_bytes()
    result = bmenet("enhance", scan, scan.with_name("out.nii.gz"), *options)
    assert result.exit_code == 2
    assert "Invalid value for OUT" in result.stderr
    assert scan.read_bytes() == before
