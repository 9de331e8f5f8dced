"""FastSurfer is run once a volume, by the stand-in for it that each test writes; nothing half-written is kept."""

import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from bmenet.evaluation.segmentation import SEGMENTERS, SegmentationError
from bmenet.evaluation.segmentation import fastsurfer as module

# Thresholds a conformed copy of the volume: 2 where it is bright, 17 where it is not.
STAND_IN = """\
#!{python}
import sys
from pathlib import Path
import nibabel as nib
import numpy as np
if sys.argv[1] == "--version":
    print("{version}")
    sys.exit()
options = dict(zip(sys.argv[1::2], sys.argv[2::2]))  # --seg_only shifts the pairs behind it
with open({log!r}, "a") as log:
    print(*sys.argv[1:], file=log)
{body}
"""
SEGMENT = """\
image = nib.load(options["--t1"])
data = np.flip(np.asarray(image.dataobj), axis=0)
affine = image.affine @ np.array([[-1, 0, 0, data.shape[0] - 1], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
labels = np.select([data > 0.7, data > 0], [2, 17], 0).astype(np.int32)
folder = Path(options["--sd"]) / options["--sid"] / "mri"
folder.mkdir(parents=True)
nib.save(nib.MGHImage(labels, affine), folder / "aparc.DKTatlas+aseg.deep.mgz")
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Return a function that makes a stand-in the only FastSurfer, and the file where it notes its command lines."""
    log = tmp_path / "calls"

    def write(body: str = SEGMENT, version: str = "2.4.2") -> Path:
        program = tmp_path / "fastsurfer" / "run_fastsurfer.sh"
        program.parent.mkdir(exist_ok=True)
        program.write_text(STAND_IN.format(python=sys.executable, version=version, log=str(log), body=body))
        program.chmod(0o755)
        module._version.cache_clear()
        return log

    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv("FASTSURFER_HOME", str(tmp_path / "fastsurfer"))
    return write


@pytest.fixture
def segmenter(tmp_path):
    return SEGMENTERS["fastsurfer"](tmp_path / "kept")


def _calls(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []


def test_segment_returns_fastsurfer_s_labels_with_the_nine_regions_and_names_no_patient(
    install, segmenter, phantom, monkeypatch
):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    log = install()
    segmentation = segmenter.segment(phantom, phantom.data > 0)
    np.testing.assert_array_equal(segmentation.labels[::-1] == 2, phantom.data > 0.7)
    assert len(segmentation.regions) == 9
    (call,) = _calls(log)
    scan = Path(call.split()[1])
    assert (scan.name, scan.exists()) == ("volume.nii", False)
    assert call.endswith("--seg_only --device cpu --threads 3")


def test_segment_runs_once_a_volume_and_version(install, segmenter, phantom):
    log = install()
    first = segmenter.segment(phantom, phantom.data > 0)
    again = segmenter.segment(phantom, phantom.data > 0)
    np.testing.assert_array_equal(first.labels, again.labels)
    segmenter.segment(phantom.with_data(phantom.data * 1.01), phantom.data > 0)
    assert len(_calls(log)) == 2
    install(version="2.5.0")
    segmenter.segment(phantom, phantom.data > 0)
    assert len(_calls(log)) == 3


def test_segment_prefers_labels_with_the_corpus_callosum_and_a_program_without_a_version_has_that_of_its_script(
    install, segmenter, phantom
):
    body = 'labels[labels == 2] = 251\nnib.save(nib.MGHImage(labels, affine), folder / "{}")\n'
    install(SEGMENT + body.format("aparc.DKTatlas+aseg.deep.withCC.mgz"), version='")\n    sys.exit(1)\n    print("')
    assert 251 in segmenter.segment(phantom, phantom.data > 0).labels
    before = segmenter.fingerprint()
    install(version='")\n    sys.exit(2)\n    print("')
    assert segmenter.fingerprint() != before


FAILURES = {
    "exit": ("sys.exit('\\n'.join(f'line {n}' for n in range(9)))", r"ended with 1: line 4 \| .* line 8$"),
    "nothing": ("pass", "ended well without subject/mri/aparc"),
    "half": (
        SEGMENT + "path = folder / 'aparc.DKTatlas+aseg.deep.mgz'\npath.write_bytes(path.read_bytes()[:900])",
        "cannot be read",
    ),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_segment_says_how_fastsurfer_failed_and_keeps_nothing(install, segmenter, phantom, failure):
    body, reason = FAILURES[failure]
    install(body)
    with pytest.raises(SegmentationError, match=f"run_fastsurfer.sh --t1 .*volume.nii --sid subject .*{reason}"):
        segmenter.segment(phantom, phantom.data > 0)
    assert not segmenter.folder.exists() or list(segmenter.folder.iterdir()) == []


def test_segment_that_is_stopped_stops_fastsurfer_with_all_it_started(
    install, segmenter, phantom, monkeypatch, tmp_path
):
    children = tmp_path / "children"
    install(
        "import subprocess\nchild = subprocess.Popen(['sleep', '60'])\n"
        f"Path({str(children)!r}).write_text(str(child.pid))\nchild.wait()"
    )

    def interrupt(process: subprocess.Popen) -> None:
        deadline = time.monotonic() + 30
        while not (children.exists() and children.read_text()) and time.monotonic() < deadline:
            time.sleep(0.01)
        monkeypatch.setattr(subprocess.Popen, "wait", wait)
        raise KeyboardInterrupt

    segmenter.fingerprint()
    wait = subprocess.Popen.wait
    monkeypatch.setattr(subprocess.Popen, "wait", interrupt)
    with pytest.raises(KeyboardInterrupt):
        segmenter.segment(phantom, phantom.data > 0)
    assert not segmenter.folder.exists() or list(segmenter.folder.iterdir()) == []
    assert _is_gone(int(children.read_text()))


def _is_gone(process_id: int) -> bool:
    """Tell whether a process ends; one that nobody waited for is a zombie."""
    stat = Path(f"/proc/{process_id}/stat")
    for _ in range(500):
        with suppress(ProcessLookupError, FileNotFoundError):
            if not stat.exists() or stat.read_text().split()[2] == "Z":
                return True
        time.sleep(0.01)
    return False


def test_require_says_what_to_install_and_what_to_set(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("FASTSURFER_HOME", raising=False)
    with pytest.raises(SegmentationError, match=r"run_fastsurfer.sh in \$FASTSURFER_HOME \(not set\) or on PATH"):
        SEGMENTERS["fastsurfer"].require()
