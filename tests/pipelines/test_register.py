import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bmenet.data.layout import Layout
from bmenet.imaging.brain_extraction import Brain
from bmenet.registration import subject
from bmenet.registration.subject import failure_picture
from bmenet.runtime.errors import BMENetError, RegistrationError
from bmenet.runtime.files import read_json, sha256, write_json
from bmenet.runtime.parallel import WORKERS_VARIABLE
from pipelines import register

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def layout(workspace, phantom, monkeypatch) -> Layout:
    """A workspace with two brain-like phantoms as raw scans, and a second one that holds nothing."""
    layout = Layout()
    layout.raw.mkdir(parents=True)
    rows = []
    for name, data in (("sub-01", phantom.data), ("sub-02", np.zeros_like(phantom.data)), ("sub-03", phantom.data)):
        nib.save(nib.Nifti1Image(data, phantom.affine), layout.raw / f"{name}.nii.gz")
        row = {"id": name, "file": f"{name}.nii.gz", "age": None, "sex": None, "source": "sample@0"}
        rows.append(row | {"sha256": sha256(layout.raw / f"{name}.nii.gz")})
    write_json(layout.subjects_table, rows)
    # The phantom is no human brain; the stage is what is tested here.
    params = workspace / "params.yaml"
    params.write_text(params.read_text().replace("min_similarity: 0.5", "min_similarity: -1.0"))
    monkeypatch.setenv(WORKERS_VARIABLE, "1")
    monkeypatch.setattr(subject, "find_brain", lambda volume: Brain(volume.data > 0, True, "background"))
    return layout


def test_register_stage_goes_on_after_a_failure_and_ends_with_the_list(layout):
    layout.registered.mkdir(parents=True)
    (layout.registered / "sub-99_space-brainldm_T1w.nii").touch()
    picture = layout.report("register") / "failed" / "sub-99.png"
    picture.parent.mkdir(parents=True)
    picture.touch()
    with pytest.raises(RegistrationError, match=r"1 of 3 subjects failed: sub-02 \("):
        register.main()
    assert sorted(path.name[:6] for path in layout.registered.iterdir()) == ["sub-01"] * 4 + ["sub-03"] * 4
    assert not picture.exists()
    metrics = read_json(layout.report("register") / "metrics.json")
    assert (metrics["subjects"], metrics["failed"]) == (2, 1)
    assert metrics["similarity"].keys() == {"sub-01", "sub-03"}

    # Once more without the bad scan: nothing is done twice.
    write_json(layout.subjects_table, [row for row in read_json(layout.subjects_table) if row["id"] != "sub-02"])
    before = {path: path.stat().st_mtime_ns for path in layout.registered.iterdir()}
    register.main()
    assert {path: path.stat().st_mtime_ns for path in layout.registered.iterdir()} == before
    assert read_json(layout.report("register") / "metrics.json")["failed"] == 0


def test_register_stage_with_nothing_fetched_is_an_error_and_removes_nothing(layout):
    write_json(layout.subjects_table, [])
    layout.registered.mkdir(parents=True)
    kept = layout.clean("sub-01")
    kept.touch()
    with pytest.raises(BMENetError, match=r"data/raw: expected fetched subjects; got none; run `dvc repro fetch`"):
        register.main()
    assert kept.exists()


def test_pictures_of_failed_subjects_stay_out_of_git():
    picture = failure_picture("sub-01", Layout())
    done = subprocess.run(["git", "check-ignore", "--quiet", "--no-index", str(picture)], cwd=REPOSITORY)
    assert done.returncode == 0
