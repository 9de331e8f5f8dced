"""What is behind a served model, whoever asks: requests in, volumes and timings out."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

from bmenet.imaging.scan import Scan, load_scan, save_scan
from bmenet.imaging.scan.header import read_header
from bmenet.imaging.scan.stream import open_stream
from bmenet.restoration import Enhancer
from bmenet.runtime.errors import BMENetError, ConfigError, GridMismatchError, RegistrationError, VolumeError
from bmenet.serving.jobs import Cancel, Jobs
from bmenet.serving.limits import Limits
from bmenet.serving.refusal import Refusal
from bmenet.serving.request import Request, Stage
from bmenet.serving.workplace import Workplace, storage_refusal

_NO_SCAN = (VolumeError, RegistrationError, GridMismatchError)


@dataclass(frozen=True)
class Result:
    """Enhanced volumes.

    Parameters
    ----------
    volumes : list of bytes
        Of .nii.gz files, what `bmenet enhance` writes with the same model and settings.
    timings : dict
        ``queue``, ``read``, the steps of the `Enhancer` and ``write`` to seconds, summed over the volumes.
    """

    volumes: list[bytes]
    timings: dict[str, float]


class Service:
    """A model at work on requests, one at a time.

    Parameters
    ----------
    enhancer : Enhancer
        With both stages where the model has them.
    limits : Limits
    info : dict
        What ``/version`` tells about the model.
    """

    def __init__(self, enhancer: Enhancer, limits: Limits, info: Mapping[str, Any]) -> None:
        self.limits = limits
        self.jobs = Jobs(enhancer.place, limits.waiting)
        stages: list[Stage] = ["coarse"] if enhancer.fine is None else ["coarse", "fine"]
        self.info = {**info, "device": enhancer.place, "stages": stages}
        self._enhancer = enhancer
        self._workplace = Workplace()

    def run(self, requests: list[Request], cancel: Cancel) -> Result:
        """Wait for the device and enhance the volumes; bad ones are told before the waiting.

        Raises
        ------
        Refusal
            If the model cannot do what is asked, a volume is none or too large (422, 413), or the reason of `cancel`,
            at the next report of progress.
        BMENetError
            If the server is at fault, such as its model: the message is for its log, not for clients.
        """
        timings: dict[str, float] = {}
        volumes: list[bytes] = []
        with self._workplace.room() as room:
            enhancers = [self._set(request) for request in requests]
            with _timed(timings, "read"):
                paths = [self._take_in(request.nifti, room / f"{n}.nii") for n, request in enumerate(requests)]
            waiting_since = time.perf_counter()
            with self.jobs.turn(cancel):
                timings = {"queue": time.perf_counter() - waiting_since} | timings
                for enhancer, path in zip(enhancers, paths, strict=True):
                    volumes.append(_enhance(enhancer, path, cancel, timings))
        return Result(volumes, timings)

    def close(self) -> None:
        """Remove what lies in the temporary folder."""
        self._workplace.close()

    def _set(self, request: Request) -> Enhancer:
        """Return the enhancer as the request wants it."""
        if request.stage == "coarse":
            return replace(self._enhancer, fine=None)
        if self._enhancer.fine is None:
            raise Refusal(400, "expected stage coarse: this model ends with it; got fine; leave stage out")
        sampling = self._enhancer.sampling
        if request.steps is not None:
            sampling = sampling.model_copy(update={"steps": request.steps})
        try:
            self._enhancer.fine.check(sampling)
        except ConfigError as error:
            raise Refusal(400, f"{error}; send other steps") from error
        return replace(self._enhancer, sampling=sampling, seed=request.seed)

    def _take_in(self, nifti: bytes, path: Path) -> Path:
        """Write a volume to a private file and check its header; the voxels stay packed."""
        try:
            path.write_bytes(nifti)
        except OSError as error:
            raise storage_refusal(error) from error
        with _about_the_volume(path), open_stream(path) as stream:
            header = read_header(stream)
        if (voxels := prod(header.shape)) > self.limits.voxels:
            raise Refusal(
                413, f"expected at most {self.limits.voxels} voxels (BMENET_MAX_VOXELS); got {voxels}; crop the volume"
            )
        if header.data_bytes > self.limits.decompressed_bytes:
            raise Refusal(
                413,
                f"expected at most {self.limits.decompressed_bytes} bytes of voxels (BMENET_MAX_DECOMPRESSED_MB); got"
                f" {header.data_bytes}; store the volume as int16 or float32, or crop it",
            )
        return path


def _enhance(enhancer: Enhancer, path: Path, cancel: Cancel, timings: dict[str, float]) -> bytes:
    """Enhance one volume and return the file that it is saved as."""
    with _about_the_volume(path):
        cancel.check()
        with _timed(timings, "read"):
            scan = load_scan(path)
        enhanced = enhancer.enhance(scan, progress=lambda _step, _fraction: cancel.check())
    for step, seconds in enhanced.timings.items():
        timings[step] = timings.get(step, 0.0) + seconds
    with _timed(timings, "write"):
        return _packed(enhanced.scan, path.with_name(f"{path.stem}-out.nii.gz"))


def _packed(scan: Scan, path: Path) -> bytes:
    """Return the bytes of a scan's .nii.gz file."""
    try:
        save_scan(path, scan)
        return path.read_bytes()
    except VolumeError as error:
        cause = error.__cause__
        raise storage_refusal(cause if isinstance(cause, OSError) else OSError()) from error
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def _about_the_volume(path: Path) -> Iterator[None]:
    """Turn what is wrong with a volume into a refusal; no error tells where the server keeps the volume."""
    try:
        yield
    except Refusal:
        raise
    except BMENetError as error:
        message = str(error).replace(str(path), "the volume").replace(str(path.parent), "the temporary folder")
        if isinstance(error, _NO_SCAN):
            raise Refusal(422, message) from error
        error.args = (message,)  # of the server, not of the volume: told in the log alone
        raise


@contextmanager
def _timed(timings: dict[str, float], name: str) -> Iterator[None]:
    """Add the seconds that the block takes."""
    start = time.perf_counter()
    yield
    timings[name] = timings.get(name, 0.0) + time.perf_counter() - start
