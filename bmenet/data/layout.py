"""Names on disk: the only place that knows where a subject's files are."""

from dataclasses import dataclass
from pathlib import Path

from bmenet.imaging.grid import SPACE_NAME
from bmenet.runtime.errors import BMENetError


class _Below:
    """A path below the root of a workspace."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __get__(self, layout: "Layout", _class: type) -> Path:
        return layout.root / self.path


@dataclass(frozen=True)
class Layout:
    """Every path of a workspace, by default the current folder."""

    root: Path = Path()

    downloads = _Below("data/downloads")
    """Unfinished downloads, kept so that they go on; not a pipeline output."""
    raw = _Below("data/raw")
    """Fetched scans in native space."""
    registered = _Below("data/registered")
    """Clean volumes on the standard grid."""
    split = _Below("data/split.json")
    """Which subject belongs to train, validation and test."""
    degraded_folder = _Below("data/degraded")
    """Degraded volumes and their sidecars."""
    coarse_folder = _Below("data/coarse")
    """Results of the Coarse-net, what the second stage starts from."""
    latents = _Below("data/latents")
    """Encoded volumes; not a pipeline output, so that they outlive a repeated stage."""
    segmentations = _Below("data/segmented")
    """Label volumes of clean volumes, and what segmenters keep for themselves; not a pipeline output."""
    studies = _Below("data/tune/studies.db")
    """The trials of all studies, in SQLite; no pipeline output, so that a repeated stage goes on with its study."""
    reports = _Below("reports")
    """All reports, a folder a stage."""

    @property
    def subjects_table(self) -> Path:
        """What `fetch` brought: id, T1w path relative to `raw`, covariates, SHA-256."""
        return self.raw / "subjects.json"

    def clean(self, subject: str) -> Path:
        """Return the clean volume of `subject` on the standard grid, [0, 1]."""
        return self.registered / f"{subject}_space-{SPACE_NAME}_T1w.nii"

    def brain_mask(self, subject: str) -> Path:
        """Return the mask of the brain in the clean volume of `subject`."""
        return self.registered / f"{subject}_space-{SPACE_NAME}_desc-brain_mask.nii.gz"

    def field(self, subject: str) -> Path:
        """Return the smooth field that registration took out of the clean volume of `subject`, at 4 mm."""
        return self.registered / f"{subject}_space-{SPACE_NAME}_desc-field.nii.gz"

    def registered_files(self, subject: str) -> list[Path]:
        """Return all that registration leaves of `subject`."""
        return [self.clean(subject), self.brain_mask(subject), self.field(subject), self.transform(subject)]

    def transform(self, subject: str) -> Path:
        """Return the sidecar with the rigid transform, the intensity scale and the similarity."""
        return self.registered / f"{subject}_space-{SPACE_NAME}_T1w.json"

    def registered_subjects(self) -> list[str]:
        """Return the subjects whose registration is done, sorted.

        Raises
        ------
        BMENetError
            If there are none: a stage that went on would pass for done.
        """
        suffix = self.transform("").name
        if subjects := sorted(path.name.removesuffix(suffix) for path in self.registered.glob(f"*{suffix}")):
            return subjects
        raise BMENetError(f"{self.registered}: expected registered subjects; got none; run `dvc repro register`")

    def degraded(self, subject: str, code: str) -> Path:
        """Return the degraded volume of a case; its sidecar has the suffix ``.json``."""
        return self.degraded_folder / f"{subject}_code-{code}_T1w.nii"

    def case_input(self, subject: str, code: str) -> Path:
        """Return what a restoration is given in a case: the degraded volume, or under code 000 the clean one."""
        return self.clean(subject) if code == "000" else self.degraded(subject, code)

    def coarse(self, subject: str, code: str) -> Path:
        """Return the Coarse-net's result on a case, in unit intensities."""
        return self.coarse_folder / f"{subject}_code-{code}_desc-coarse_T1w.nii"

    @property
    def weights_folder(self) -> Path:
        """All trained networks, a folder each."""
        return self.root / "weights"

    def weights(self, name: str) -> Path:
        """Return the folder of a trained network: weights, configuration, checksum."""
        return self.weights_folder / name

    @property
    def bundle(self) -> Path:
        """The exported bundle: graphs, weights, settings."""
        return self.weights_folder / "bundle"

    def checkpoints(self, name: str) -> Path:
        """Return the resumable training state of a network; not a pipeline output."""
        return self.weights_folder / "checkpoints" / name

    def study(self, name: str) -> Path:
        """Return what a study keeps beside its trials: pictures, and the state of trainings; no pipeline output."""
        return self.root / "data" / "tune" / name

    def index(self, name: str) -> Path:
        """Return the folder that says what each case of the output `name` was made from; not a pipeline output."""
        return self.root / "data" / "index" / name

    def evaluated(self, subject: str, code: str, method: str) -> Path:
        """Return the kept result of a method on a case; not a pipeline output, so that it outlives a repeated stage."""
        return self.root / "data" / "evaluated" / f"{subject}_code-{code}_method-{method}.npz"

    def restored(self, subject: str, code: str, method: str) -> Path:
        """Return the restored volume that is kept beside a result, in unit intensities."""
        return self.evaluated(subject, code, method).with_suffix(".nii.gz")

    def segmented(self, subject: str, code: str, method: str, segmenter: str) -> Path:
        """Return the kept comparison of a restored volume's tissues with the clean one's."""
        return self.evaluated(subject, code, f"{method}_segmenter-{segmenter}").with_suffix(".json")

    def matched(self, subject: str, acquisition: str) -> Path:
        """Return a scan of a matched pair as a volume on the standard grid; not a pipeline output."""
        return self.root / "data" / "matched" / f"{subject}_acq-{acquisition}_T1w.nii"

    def report(self, stage: str) -> Path:
        """Metrics, tables and figures of a stage."""
        return self.reports / stage
