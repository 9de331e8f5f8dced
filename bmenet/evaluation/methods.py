"""The restorations that are compared, by name, and what decides their results."""

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import bmenet
from bmenet.baselines import BASELINES
from bmenet.files import sha256
from bmenet.fingerprint import code_fingerprint
from bmenet.inference import Enhancer
from bmenet.volume import Volume

INPUT = "degraded"
"""The degraded volume as it is: what every restoration has to beat."""

COARSE = "coarse"

_METRIC_SOURCES = ("metrics", "brain.py", "volume.py")
_SOURCES = {
    INPUT: _METRIC_SOURCES,
    COARSE: (*_METRIC_SOURCES, "inference/enhancer.py", "inference/slices.py", "models", "intensity.py"),
}


def method_names(baselines: Sequence[str]) -> list[str]:
    """Return the compared methods in the order of the tables: the input, the chosen baselines, Coarse-net."""
    return [INPUT, *baselines, COARSE]


def restore(method: str, degraded: Volume, coarse_weights: Path) -> Volume:
    """Restore a degraded volume by the method called `method`."""
    if method == INPUT:
        return degraded
    if method == COARSE:
        return _enhancer(coarse_weights, sha256(coarse_weights / "model.json")).restore(degraded)
    return BASELINES[method](degraded)


def method_fingerprint(method: str, coarse_weights: Path) -> str:
    """Hash what, besides the volumes, decides the metrics of a method: its code, the metrics' code, its weights."""
    parts = [method, code_fingerprint(*_source_files(_SOURCES.get(method, (*_METRIC_SOURCES, "baselines"))))]
    if method == COARSE:
        parts.append(sha256(coarse_weights / "model.json"))
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:16]


@lru_cache(maxsize=1)
def _enhancer(coarse_weights: Path, _digest: str) -> Enhancer:
    """Load Coarse-net once a process and once for each state of its weights."""
    return Enhancer.from_folder(coarse_weights)


def _source_files(sources: tuple[str, ...]) -> list[str]:
    """Return the source files of folders and files of the package, relative to it."""
    package = Path(bmenet.__file__).parent
    files: list[Path] = []
    for source in sources:
        path = package / source
        files += sorted(path.rglob("*.py")) if path.is_dir() else [path]
    return [file.relative_to(package).as_posix() for file in files]
