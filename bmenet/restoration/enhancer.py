"""One class behind the command line, the evaluation and the served model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from bmenet.config import RegistrationConfig, SamplingConfig
from bmenet.imaging.brain_extraction import Shows, find_brain
from bmenet.imaging.contrast import LEAST_WHITE_TO_GREY, white_to_grey
from bmenet.imaging.grid import Grid, standard_grid
from bmenet.imaging.homogeneity import field_size
from bmenet.imaging.resample import continued, resample
from bmenet.imaging.scan import Scan
from bmenet.imaging.volume import Volume
from bmenet.networks.coarse import COARSE
from bmenet.networks.compute import choose_device
from bmenet.registration import check_aligned, register
from bmenet.restoration.bundle import Bundle
from bmenet.restoration.bundle.manifest import Precision
from bmenet.restoration.coarse_net import CoarseNet
from bmenet.restoration.enhanced import Enhanced, Progress, Space, Steps
from bmenet.restoration.fine_net import DEFAULT_SAMPLING, FineNet
from bmenet.restoration.onnx_runtime import onnx_coarse_net, onnx_fine_net, open_sessions
from bmenet.restoration.out_of_range import hidden, litres, put_back, too_bright
from bmenet.restoration.phase_encoding import AXIS_NAMES, AxisName, PhaseEncoding, phase_encoding_of
from bmenet.restoration.providers import Provider
from bmenet.restoration.way_back import (
    adaptive_strength,
    around_brain,
    blend,
    non_negative,
    own_field,
    restored_part,
    return_std,
    return_to_native,
    within,
)
from bmenet.runtime.errors import GridMismatchError, VolumeError, WeightsError

Runtime = Literal["torch", "onnx"]
REGISTRATION = RegistrationConfig(backend="ants", estimate_spacing_mm=2, min_similarity=0.5)
"""Well aligned, severely degraded scans reached 0.60 to 0.66; scans upside down or with swapped axes 0.25 to 0.35."""

_CONTINUED_MM = 8.0
"""Beyond the faces of a scan's field of view: the networks see no edge where a brain or a neck is cut off."""


@dataclass(frozen=True)
class Enhancer:
    """Trained networks, ready to restore volumes and to enhance scans.

    Parameters
    ----------
    coarse : CoarseNet
        The first stage.
    fine : FineNet, optional
        The second stage; without it the coarse result is the result.
    sampling : SamplingConfig
        How the second stage is run.
    seed : int
        Of the second stage's noise.
    runtime : {"torch", "onnx"}
        What runs the networks; everything around them is the same.
    provider : {"tensorrt", "cuda", "cpu"}, optional
        Of ONNX Runtime, which brings tensors to its device and back by itself: `device` is then the CPU.
    keeps_field : bool
        Whether the scan keeps the coil field that it came with: see `own_field`.
    only_brain : bool
        Whether of a whole head nothing but the brain is changed.
    shows : {"auto", "head", "brain"}
        What scans show: see `find_brain`.
    phase_encode_axis : {"LR", "AP", "SI"}, optional
        Along which motion spread in scans; by default what their headers say, or else what their air tells.
    force : bool
        Whether scans of another contrast than T1 are restored, too.
    """

    coarse: CoarseNet
    fine: FineNet | None = None
    registration: RegistrationConfig = REGISTRATION
    sampling: SamplingConfig = DEFAULT_SAMPLING
    seed: int = 0
    runtime: Runtime = "torch"
    provider: Provider | None = None
    keeps_field: bool = False
    only_brain: bool = False
    shows: Shows = "auto"
    phase_encode_axis: AxisName | None = None
    force: bool = False

    @classmethod
    def from_bundle(
        cls,
        bundle: Bundle,
        stage: Literal["coarse", "fine"] = "coarse",
        runtime: Runtime = "torch",
        device: str = "auto",
        providers: Sequence[str] | None = None,
        precision: Precision = "fp32",
    ) -> "Enhancer":
        """Load a bundle; the second stage is sampled as the bundle says.

        For `device`, `providers` and `precision` see `open_sessions`; torch takes the device alone.

        Raises
        ------
        WeightsError
            If the bundle lacks what is asked for.
        """
        settings = bundle.manifest.fine if stage == "fine" else None
        if stage == "fine" and settings is None:
            raise WeightsError(
                f"{bundle.folder}: expected a bundle with both stages; got the first alone; export again"
            )
        if runtime == "torch":
            enhancer = cls.from_folder(bundle.weights / COARSE, device)
            return enhancer if settings is None else enhancer.with_fine(bundle.weights, settings.sampling)
        sessions = open_sessions(bundle, precision, providers, device)
        enhancer = cls(onnx_coarse_net(sessions), runtime=runtime, provider=sessions.providers[0])
        if settings is None:
            return enhancer
        return replace(enhancer, fine=onnx_fine_net(sessions, settings.sampling), sampling=settings.sampling)

    @classmethod
    def from_folder(cls, folder: Path | str, device: str = "cpu") -> "Enhancer":
        """Load a Coarse-net's folder (``model.safetensors``, ``model.json``) onto ``cpu``, ``cuda`` or ``auto``."""
        return cls(CoarseNet.from_folder(folder, choose_device(device)))

    def with_fine(self, weights: Path | str, sampling: SamplingConfig = DEFAULT_SAMPLING) -> "Enhancer":
        """Return an enhancer that runs the second stage too, its networks from their folders in `weights`."""
        fine = FineNet.from_folder(weights, self.device)
        if fine.spacing_mm != self.spacing_mm:
            raise WeightsError(
                f"{weights}: expected networks of the Coarse-net's grid, {self.spacing_mm} mm; got {fine.spacing_mm}"
                " mm; train them again (`dvc repro`)"
            )
        return replace(self, fine=fine, sampling=sampling)

    @property
    def device(self) -> torch.device:
        """Where tensors come and go."""
        return self.coarse.device

    @property
    def place(self) -> str:
        """What the networks run on: ONNX Runtime's first provider, or torch's device."""
        return self.provider or str(self.device)

    @property
    def spacing_mm(self) -> int:
        """Of the standard grid that the networks were trained on."""
        return self.coarse.spacing_mm

    @property
    def grid(self) -> Grid:
        """The standard grid at that spacing."""
        return standard_grid(self.spacing_mm)

    def enhance(self, scan: Scan, space: Space = "native", progress: Progress | None = None) -> Enhanced:
        """Bring a scan to the standard grid, restore it, and bring the result back; cubic both ways.

        What the networks hardly change is given back as it came: see `adaptive_strength`. The brain is what is aligned,
        and the whole head what is restored, as far as the standard field of view goes; beyond it the scan stays as it
        was. Where `only_brain` says so, all but the brain does. Tissue that the scan's own field of view cuts off goes
        on beyond it while it is restored. What is brighter than anything in training is hidden from the networks, and
        they then run twice: see `too_bright`.

        Parameters
        ----------
        scan : Scan
            In native space, of any intensity scale.
        space : {"native", "template"}
            Where the result lies: on the scan's own grid, or on the standard grid.

        Raises
        ------
        VolumeError
            If no brain is found, or the contrast is not that of T1.
        RegistrationError
            If the scan cannot be aligned to the template, or lies on the standard grid and not as the template does.
        """
        steps = Steps(progress)
        native = scan.volume.with_data(np.maximum(scan.volume.data, 0))

        with steps("find the brain"):
            brain = find_brain(native, self.device.type, self.shows)
            brain_volume = native.with_data(brain.brain_mask)
        with steps("register"):
            is_standard = native.grid.same_as(self.grid)  # then it is only checked how the brain lies
            align = check_aligned if is_standard else register
            alignment = align(native.with_data(native.data * brain_volume.data), self.registration)
            moving2fixed = alignment.moving2fixed
            standard = native
            if not is_standard:
                standard = non_negative(resample(continued(native, _CONTINUED_MM), self.grid, moving2fixed))
        with steps("restore"):
            inside = resample(brain_volume, self.grid, moving2fixed, order=1).data > 0.5
            weight = restored_part(standard, inside, brain.is_skull_stripped, self.only_brain)
            brain_mask = None if brain.is_skull_stripped else inside
            encoding = self._phase_encoding(scan, standard, moving2fixed)
            axis = None if encoding is None else encoding.axis
            restored, std = self.restore_samples(standard, lambda part: steps.report("restore", part), brain_mask, axis)
            self._check_contrast(restored)
            excess = too_bright(restored, standard, inside)
            if excess is not None:
                shown = hidden(restored, standard, inside, excess)
                restored, std = self.restore_samples(shown, brain_mask=brain_mask, phase_encode_axis=axis)
                restored = put_back(restored, shown, standard, excess)
            field = own_field(restored.data, standard.data, self.spacing_mm)
            if self.keeps_field:
                restored = restored.with_data(restored.data * field)
                std = None if std is None else std.with_data(std.data * field)
            strength = adaptive_strength(standard.data, restored.data, inside, self.spacing_mm)
            weight = weight.with_data(strength * weight.data)
            std = None if std is None else std.with_data(std.data * weight.data)
        with steps("return"):
            if space == "template":
                result = scan.in_standard_space(within(native, moving2fixed, blend(restored, standard, weight)))
                brain = replace(brain, brain_mask=inside)
                spread = None if std is None else scan.in_standard_space(std)
            else:
                fixed2moving = np.linalg.inv(moving2fixed)
                result = return_to_native(restored, weight, scan, brain, fixed2moving, strength)
                spread = None if std is None else return_std(std, scan, fixed2moving)
        return Enhanced(
            result,
            alignment,
            brain,
            is_standard,
            steps.timings,
            spread,
            strength,
            field_size(field, inside),
            0.0 if excess is None else litres(excess),
            encoding,
        )

    @property
    def _given_axis(self) -> int | None:
        return None if self.phase_encode_axis is None else AXIS_NAMES.index(self.phase_encode_axis)

    def _phase_encoding(self, scan: Scan, standard: Volume, moving2fixed: np.ndarray) -> PhaseEncoding | None:
        """Return along which axis motion spread, if the networks ask: as told, else as the header or the air says."""
        if not self.coarse.config.phase_encode_first:
            return None
        if self._given_axis is not None:
            return PhaseEncoding(self._given_axis, "option", 1.0)
        return phase_encoding_of(scan, standard.data, self.spacing_mm, moving2fixed)

    def _check_contrast(self, restored: Volume) -> None:
        """Refuse a scan of another contrast; where the coil's field is out, grey and white matter can be compared."""
        ratio = white_to_grey(restored)
        if ratio < LEAST_WHITE_TO_GREY and not self.force:
            raise VolumeError(
                f"expected a T1-weighted scan, white matter brighter than grey; got white matter {ratio:.2f} times as"
                " bright where the template has both: another contrast (T2, FLAIR), an infant, or badly aligned? The"
                " networks know T1 alone; --force restores it all the same"
            )

    def restore(self, volume: Volume, progress: Callable[[float], None] | None = None) -> Volume:
        """Restore a volume on the standard grid, of any intensity scale, by the stages that there are.

        The scale is kept. GridMismatchError if the volume lies on another grid.
        """
        restored, _ = self.restore_samples(volume, progress, phase_encode_axis=self._given_axis)
        if not self.keeps_field:
            return restored
        return restored.with_data(restored.data * own_field(restored.data, volume.data, self.spacing_mm))

    def restore_samples(
        self,
        volume: Volume,
        progress: Callable[[float], None] | None = None,
        brain_mask: np.ndarray | None = None,
        phase_encode_axis: int | None = None,
    ) -> tuple[Volume, Volume | None]:
        """Restore and take the field out; return the standard deviation over samples too, where there were several.

        With the `brain_mask` of a whole head the second stage, which knows brains, changes nothing but the brain.
        Without a `phase_encode_axis` the Coarse-net looks for it where it needs one.
        """
        if not volume.grid.same_as(self.grid):
            raise GridMismatchError(
                f"expected a volume on the standard grid of {self.spacing_mm} mm, shape {self.grid.shape}; got shape "
                f"{volume.grid.shape}, voxels of {volume.grid.spacing_mm} mm; use `enhance`, which registers it"
            )
        std: np.ndarray | None = None
        if self.fine is None:
            restored = self.coarse.restore(volume.data, progress, phase_encode_axis=phase_encode_axis)
        else:
            coarse = self.coarse.restore(volume.data, phase_encode_axis=phase_encode_axis)
            shown, weight = coarse, np.ones_like(coarse)
            if brain_mask is not None:
                shown, weight = around_brain(coarse, brain_mask, self.spacing_mm)
            result = self.fine.restore(shown, self.sampling, self.seed, progress)
            restored = coarse + weight * (result.data - coarse)
            std = None if result.std is None else weight * result.std
        return volume.with_data(restored), None if std is None else volume.with_data(std)
