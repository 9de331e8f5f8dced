"""Nine regions by FastSurfer, run as an external program where the user has installed it."""

import hashlib
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

import nibabel as nib
import numpy as np

from bmenet.evaluation.segmentation.labels import (
    LabelVolume,
    Segmentation,
    SegmentationError,
    freesurfer_regions,
    load_labels,
)
from bmenet.imaging.volume import Volume
from bmenet.runtime.code import code_hash
from bmenet.runtime.errors import VolumeError
from bmenet.runtime.files import atomic_path, sha256
from bmenet.runtime.threads import thread_count

_PROGRAM = "run_fastsurfer.sh"
_HOME_VARIABLE = "FASTSURFER_HOME"

_RESULTS = ("mri/aparc.DKTatlas+aseg.deep.withCC.mgz", "mri/aparc.DKTatlas+aseg.deep.mgz")
"""The first of them that is there is taken: versions that segment the corpus callosum write it to a file of its own."""

_OPTIONS = ("--seg_only", "--device", "cpu")
_SUBJECT = "subject"
_LAST_LINES = 5
_VERSION_TIMEOUT_S = 60


class FastSurferSegmenter:
    """FastSurfer's aseg and DKT labels, grouped into the nine regions of `freesurfer_regions`.

    Its networks were trained on whole heads and take minutes a volume on a CPU. Labels lie on FastSurfer's own
    conformed grid, which is the same for all volumes of one grid. Versions that do not segment the corpus callosum
    without surfaces leave that region empty. Label volumes are kept in `folder`, each under a name made from the
    volume, the program's version and its options: what is there is not computed again.

    References
    ----------
    Henschel et al. (2020), FastSurfer - a fast and accurate deep learning based neuroimaging pipeline, NeuroImage 219,
    doi:10.1016/j.neuroimage.2020.117012.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @staticmethod
    def require() -> None:
        """Raise a SegmentationError if FastSurfer is not found."""
        find_fastsurfer()

    def fingerprint(self) -> str:
        """Return the version of FastSurfer with what decides how labels are read and grouped: the table too."""
        return f"{_program()} {code_hash(__name__)}"

    def segment(self, volume: Volume, brain_mask: np.ndarray) -> Segmentation:
        """Segment a volume, or read what was segmented before; FastSurfer finds the brain itself.

        Where FastSurfer fails, the message of the SegmentationError holds its command and its last lines.
        """
        del brain_mask
        if not np.isfinite(volume.data).all():
            raise VolumeError("`volume`: expected finite intensities; got NaN or infinite ones")
        path = self.folder / f"{_key(volume)}.mgz"
        labels = load_labels(path) if path.exists() else _run(volume, path)
        return Segmentation(labels.labels, freesurfer_regions())


def find_fastsurfer() -> str:
    """Return the path of FastSurfer's program, from $FASTSURFER_HOME or PATH (SegmentationError: from neither)."""
    home = os.environ.get(_HOME_VARIABLE)
    path = (home and shutil.which(_PROGRAM, path=home)) or shutil.which(_PROGRAM)
    if not path:
        raise SegmentationError(
            f"the segmenter fastsurfer needs FastSurfer; expected {_PROGRAM} in ${_HOME_VARIABLE} "
            f"({home or 'not set'}) or on PATH, found neither; install FastSurfer and set {_HOME_VARIABLE}, or choose "
            "the segmenter atropos"
        )
    return path


@cache
def _version(program: str) -> str:
    """Return what the program says its version is; that of one too old to say is the checksum of its script."""
    try:
        said = subprocess.run(
            [program, "--version"], capture_output=True, text=True, check=False, timeout=_VERSION_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SegmentationError(f"`{program} --version` did not run: {error}") from error
    first_line = said.stdout.partition("\n")[0].strip()
    return first_line if said.returncode == 0 and first_line else sha256(program)


def _program() -> str:
    """Return the version of FastSurfer and the options it is run with."""
    return f"fastsurfer {_version(find_fastsurfer())} {_OPTIONS}"


def _key(volume: Volume) -> str:
    """Return the name of what FastSurfer makes of a volume: the SHA-256 of voxels, grid, version and options."""
    digest = hashlib.sha256(f"{_program()} {_RESULTS} {volume.data.shape} {volume.affine.tolist()}".encode())
    digest.update(np.ascontiguousarray(volume.data, np.float32).data)
    return digest.hexdigest()


def _run(volume: Volume, path: Path) -> LabelVolume:
    """Run FastSurfer in a folder of its own; keep the labels at `path` once they are whole and readable."""
    with tempfile.TemporaryDirectory(prefix="bmenet-fastsurfer-") as name:
        folder = Path(name)
        scan = folder / "volume.nii"
        nib.save(nib.Nifti1Image(np.asarray(volume.data, np.float32), volume.affine), scan)
        paths = ["--t1", str(scan), "--sid", _SUBJECT, "--sd", str(folder / "out")]
        command = [find_fastsurfer(), *paths, *_OPTIONS, "--threads", str(thread_count())]
        (folder / "out").mkdir()
        _call(command, folder / "log")
        found = [file for result in _RESULTS if (file := folder / "out" / _SUBJECT / result).is_file()]
        if not found:
            raise SegmentationError(f"`{shlex.join(command)}` ended well without {_SUBJECT}/{_RESULTS[-1]}")
        try:
            labels = load_labels(found[0])
        except VolumeError as error:
            raise SegmentationError(f"`{shlex.join(command)}` wrote labels that cannot be read: {error}") from error
        with atomic_path(path) as temporary:
            shutil.copyfile(found[0], temporary)
    return labels


def _call(command: list[str], log: Path) -> None:
    """Run a command in a process group of its own, all of which is stopped if the wait for it is interrupted."""
    with open(log, "wb") as file:
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
            )
        except OSError as error:
            raise SegmentationError(f"`{shlex.join(command)}` did not start: {error.strerror}") from error
        try:
            status = process.wait()
        except BaseException:
            # The script's children, which hold the networks, would outlive it.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
    if status != 0:
        last_lines = " | ".join(log.read_text(errors="replace").strip().splitlines()[-_LAST_LINES:])
        raise SegmentationError(f"`{shlex.join(command)}` ended with {status}: {last_lines or 'it said nothing'}")
