"""What a whole run writes to stderr, in a process of its own: warnings of libraries are not among it."""

import os
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest

from bmenet.imaging.grid import standard_grid
from bmenet.imaging.template import load_template


@pytest.mark.usefixtures("weights")
def test_enhance_prints_no_warning_even_where_python_shows_every_kind(workspace):
    template = load_template(standard_grid(4))
    nib.save(nib.Nifti1Image((900 * template.data).astype(np.int16), template.affine), workspace / "scan.nii")
    done = subprocess.run(
        [sys.executable, "-W", "default", "-c", "from bmenet.cli import app; app()", "enhance", "scan.nii", "out.nii"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"BMENET_MODEL": "weights/coarse"},
    )
    assert (done.returncode, done.stdout) == (0, "out.nii\n"), done.stderr
    assert "Warning" not in done.stderr
    assert "warning" not in done.stderr
