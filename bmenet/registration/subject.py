"""One subject of the stage `register`: the raw scan in, the clean unit volume and its sidecar out."""

import ast
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from bmenet.config import Config
from bmenet.errors import VolumeError
from bmenet.files import read_json, write_json
from bmenet.grid import standard_grid
from bmenet.intensity import normalise
from bmenet.layout import Layout
from bmenet.registration.rigid import register
from bmenet.resample import resample
from bmenet.volume import Volume, save_unit_volume

_METHOD_FILES = (
    "registration/ants.py",
    "registration/rigid.py",
    "registration/subject.py",
    "brain.py",
    "grid.py",
    "intensity.py",
    "resample.py",
    "template.py",
)
_PACKAGE = Path(__file__).parents[1]


@dataclass(frozen=True)
class Subject:
    """A row of the subjects' table that `fetch` writes: T1w path relative to the raw folder, covariates, checksum."""

    id: str
    file: str
    age: float | None
    sex: str | None
    sha256: str
    source: str


def register_subject(subject: Subject, config: Config, layout: Layout) -> float:
    """Register one raw scan and write its clean volume, then the sidecar that marks it done; return the similarity.

    Raises
    ------
    VolumeError
        If the raw file cannot be read or holds no tissue.
    RegistrationError
        If the scan cannot be laid on the template; a picture of what came out is in the stage's report folder.
    """
    scan = _load_scan(layout.raw / subject.file)
    registration = register(scan, config.registration)
    standard = resample(scan, standard_grid(config.grid.spacing_mm), registration.moving2fixed)
    unit_data, scale = normalise(np.maximum(standard.data, 0), config.intensity.percentile)
    save_unit_volume(layout.clean(subject.id), standard.with_data(unit_data))
    sidecar = {
        "subject": subject.id,
        "age": subject.age,
        "sex": subject.sex,
        "backend": registration.backend,
        "similarity": registration.similarity,
        "moving2fixed": registration.moving2fixed.tolist(),
        "intensity_scale": scale,
        "spacing_mm": config.grid.spacing_mm,
        "inputs": inputs_of(subject, config),
    }
    write_json(layout.transform(subject.id), sidecar)
    return registration.similarity


def inputs_of(subject: Subject, config: Config) -> dict[str, Any]:
    """Return all that a registered volume depends on: raw bytes, settings, and the code of the method."""
    return {
        "raw_sha256": subject.sha256,
        "grid": config.grid.model_dump(),
        "registration": config.registration.model_dump(),
        "intensity": config.intensity.model_dump(),
        "method": _method_fingerprint(),
    }


def is_done(subject: Subject, config: Config, layout: Layout) -> bool:
    """Tell whether the subject's files are there and came from the present inputs."""
    if not (layout.clean(subject.id).exists() and layout.transform(subject.id).exists()):
        return False
    sidecar = read_json(layout.transform(subject.id))
    expected = inputs_of(subject, config) | {"covariates": [subject.age, subject.sex]}
    return sidecar["inputs"] | {"covariates": [sidecar["age"], sidecar["sex"]]} == expected


def _method_fingerprint() -> str:
    """Hash the code that decides the result; comments and layout do not count."""
    trees = [ast.dump(ast.parse((_PACKAGE / name).read_text(encoding="utf-8"))) for name in _METHOD_FILES]
    return hashlib.sha256("\n".join(trees).encode()).hexdigest()[:16]


def _load_scan(path: Path) -> Volume:
    """Load a raw scan that `fetch` has already checked."""
    try:
        image = nib.load(path)
        return Volume(np.asarray(image.dataobj, dtype=np.float32), image.affine)
    except (OSError, nib.filebasedimages.ImageFileError) as error:
        raise VolumeError(f"{path}: cannot be read: {error}") from error
