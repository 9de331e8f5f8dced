"""Commands that write a scan look at the free space of OUT's folder first."""

import os
import shutil
from collections import namedtuple

import nibabel as nib
import numpy as np
import pytest

from bmenet.runtime.files import _MARGIN_BYTES

USAGE = namedtuple("USAGE", "total used free")
MARGIN = _MARGIN_BYTES


@pytest.fixture
def leave_free(monkeypatch):
    """A function that leaves so many bytes free; it returns the folders that were asked about."""

    def leave(free, total=1 << 40):
        asked = []
        monkeypatch.setattr(shutil, "disk_usage", lambda path: asked.append(path) or USAGE(total, total - free, free))
        return asked

    return leave


@pytest.fixture
def untouched(monkeypatch):
    """Fail a test whose command begins to read the scan."""
    monkeypatch.setattr("bmenet.imaging.scan.load_scan", lambda path: pytest.fail("the work began"))


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    ("command", "volumes"),
    [
        (("enhance",), 1),
        (("enhance", "--stage", "fine"), 2),
        (("enhance", "--report"), 2),
        (("degrade",), 1),
        (("client",), 1),
    ],
)
def test_too_little_space_ends_in_one_line_before_any_work(bmenet, scan_path, leave_free, command, volumes):
    needed = volumes * np.prod(nib.load(scan_path).shape) * 2 + MARGIN
    folder = scan_path.parent / "elsewhere"
    folder.mkdir()
    asked = leave_free(needed - 1)
    result = bmenet(command[0], scan_path, folder / "out.nii.gz", *command[1:])
    assert (result.exit_code, result.stdout) == (1, "")
    told = f"bmenet: {folder / 'out.nii.gz'}: expected {needed / 1e6:,.1f} MB of free space in {folder}; got "
    assert result.stderr.startswith(told)
    assert result.stderr.count("\n") == 1
    assert asked == [folder]
    assert os.listdir(folder) == []


def test_just_enough_space_is_enough(bmenet, scan_path, leave_free):
    leave_free(np.prod(nib.load(scan_path).shape) * 2 + MARGIN)
    assert bmenet("degrade", scan_path, scan_path.with_name("out.nii")).exit_code == 0
    assert scan_path.with_name("out.nii").exists()


@pytest.mark.parametrize("total", [0, None])
def test_a_place_that_tells_nothing_of_its_space_is_not_refused(bmenet, scan_path, leave_free, monkeypatch, total):
    def refuse(path):
        raise PermissionError(13, "Permission denied")

    leave_free(0, 0)
    if total is None:
        monkeypatch.setattr(shutil, "disk_usage", refuse)
    assert bmenet("degrade", scan_path, scan_path.with_name("out.nii")).exit_code == 0


def test_a_scan_that_cannot_be_read_is_judged_by_the_size_of_its_file(bmenet, workspace, leave_free):
    path = workspace / "bad.nii"
    path.write_bytes(b"no scan at all" * 99)
    leave_free(MARGIN + path.stat().st_size)
    assert "expected a NIfTI volume" in bmenet("degrade", path, workspace / "out.nii").stderr
    leave_free(MARGIN + path.stat().st_size - 1)
    assert "MB of free space" in bmenet("degrade", path, workspace / "out.nii").stderr
