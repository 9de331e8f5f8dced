"""A served model at work: requests in, volumes and timings out."""

import base64
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bmenet import __version__
from bmenet.imaging.scan import load_scan, save_scan
from bmenet.imaging.scan.nifti import open_stream, read_header
from bmenet.runtime.errors import BMENetError, ConfigError, GridMismatchError, RegistrationError, VolumeError
from bmenet.serving.jobs import Cancel, Jobs, storage_refusal
from bmenet.serving.request import Refusal, Request, Stage, as_refusal, parse_records
from bmenet.serving.settings import MB, Settings

if TYPE_CHECKING:
    from bmenet.restoration import Enhancer
    from bmenet.restoration.bundle import Bundle

_NO_SCAN = (VolumeError, RegistrationError, GridMismatchError)


class Service:
    """A model at work on requests, one at a time.

    The enhancer has both stages where the model has them; `info` is what ``/version`` tells about the model.
    """

    def __init__(self, enhancer: "Enhancer", settings: Settings, info: Mapping[str, Any]) -> None:
        self.settings, self._enhancer = settings, enhancer
        self.jobs = Jobs(enhancer.place, settings.max_waiting)
        stages: list[Stage] = ["coarse"] if enhancer.fine is None else ["coarse", "fine"]
        self.info = {**info, "device": enhancer.place, "stages": stages}

    @classmethod
    def of_bundle(cls, bundle: "Bundle", settings: Settings) -> "Service":
        """Serve a bundle, with its second stage if it has one."""
        from bmenet.restoration import Enhancer  # brings torch, which the rest of this room does without

        options = settings.of_networks()
        enhancer = Enhancer.from_bundle(bundle, "fine" if bundle.has_fine else "coarse", **options)
        told = {name: value for name, value in options.items() if name != "device"}
        return cls(enhancer, settings, {"bmenet": __version__, "model": bundle.digest, **told})

    def run(self, requests: list[Request], cancel: Cancel) -> tuple[list[bytes], dict[str, float]]:
        """Check the volumes, wait for the device and enhance them.

        Returns
        -------
        volumes : list of bytes
            Of .nii.gz files, what `bmenet enhance` writes with the same model and settings.
        timings : dict
            ``queue``, ``read``, the steps of the `Enhancer` and ``write``: seconds, summed over the volumes.

        Raises
        ------
        Refusal
            If the model cannot do what is asked, a volume is none or too large (422, 413), or the reason of `cancel`,
            at the next report of progress.
        BMENetError
            If the server is at fault, such as its model: the message is for its log, not for clients.
        """
        timings: defaultdict[str, float] = defaultdict(float, queue=0.0)
        with self.jobs.room() as room:
            enhancers = [self._set(request) for request in requests]
            with _timed(timings, "read"):
                paths = [self._take_in(request.nifti, room / f"{n}.nii") for n, request in enumerate(requests)]
            with ExitStack() as stack:
                with _timed(timings, "queue"):
                    stack.enter_context(self.jobs.turn(cancel))
                return [_enhance(*job, cancel, timings) for job in zip(enhancers, paths, strict=True)], timings

    def answer(self, records: list[dict[str, Any]]) -> list[dict[str, str]]:
        """Check and enhance the volumes of a table within the time limit, for a server that only calls this.

        From the columns nifti (base64) and those of `Request` to the column nifti; whatever goes wrong is a `Refusal`.
        """
        try:
            requests = parse_records(records, self.settings)
            self.jobs.take_place()
            try:
                volumes, _ = self.run(requests, Cancel(self.settings.job_timeout_s))
            finally:
                self.jobs.give_place()
        except Exception as error:
            raise as_refusal(error) from None
        return as_rows(volumes)

    def _set(self, request: Request) -> "Enhancer":
        """Return the enhancer as the request wants it."""
        enhancer = replace(self._enhancer, keeps_field=request.keep_field, only_brain=request.only_brain)
        if request.stage == "coarse":
            return replace(enhancer, fine=None)
        if enhancer.fine is None:
            raise Refusal(400, "expected stage coarse: this model ends with it; got fine; leave stage out")
        sampling = enhancer.sampling
        if request.steps is not None:
            sampling = sampling.model_copy(update={"steps": request.steps})
        try:
            enhancer.fine.check(sampling)
        except ConfigError as error:
            raise Refusal(400, f"{error}; send other steps") from error
        return replace(enhancer, sampling=sampling, seed=request.seed)

    def _take_in(self, nifti: bytes, path: Path) -> Path:
        """Write a volume to a private file and check its header; the voxels stay packed."""
        try:
            path.write_bytes(nifti)
        except OSError as error:
            raise storage_refusal(error) from error
        with _about_the_volume(path), open_stream(path) as stream:
            header = read_header(stream)
        most, most_mb = self.settings.max_voxels, self.settings.max_decompressed_mb
        if (voxels := prod(header.shape)) > most:
            raise Refusal(413, f"expected at most {most} voxels (BMENET_MAX_VOXELS); got {voxels}; crop the volume")
        if (size := header.data_bytes) > most_mb * MB:
            expected = f"at most {most_mb} MB of voxels (BMENET_MAX_DECOMPRESSED_MB); got {size / MB:.1f} MB"
            raise Refusal(413, f"expected {expected}; store the volume as int16 or float32, or crop it")
        return path


def as_rows(volumes: list[bytes]) -> list[dict[str, str]]:
    """Return volumes as the column nifti, in base64."""
    return [{"nifti": base64.b64encode(volume).decode()} for volume in volumes]


def _enhance(enhancer: "Enhancer", path: Path, cancel: Cancel, timings: defaultdict[str, float]) -> bytes:
    """Enhance one volume and return the bytes of its .nii.gz file."""
    with _about_the_volume(path):
        cancel.check()
        with _timed(timings, "read"):
            scan = load_scan(path)
        enhanced = enhancer.enhance(scan, progress=lambda _step, _fraction: cancel.check())
    for step, seconds in enhanced.timings.items():
        timings[step] += seconds
    out = path.with_name(f"{path.stem}-out.nii.gz")
    with _timed(timings, "write"):
        try:
            save_scan(out, enhanced.scan)
            return out.read_bytes()
        except VolumeError as error:
            cause = error.__cause__
            raise storage_refusal(cause if isinstance(cause, OSError) else OSError()) from error
        finally:
            out.unlink(missing_ok=True)


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
def _timed(timings: defaultdict[str, float], name: str) -> Iterator[None]:
    """Add the seconds that the block takes."""
    start = time.perf_counter()
    yield
    timings[name] += time.perf_counter() - start
