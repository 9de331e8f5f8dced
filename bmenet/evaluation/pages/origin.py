"""Where a result comes from: the weights it was made with, and the versions of the software."""

import platform
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path

from bmenet import __version__
from bmenet.networks.weights import SPEC_FILE
from bmenet.runtime.files import read_json

_SOFTWARE = ("torch", "monai", "numpy", "nibabel")


def weights_origin(folders: Iterable[Path]) -> dict[str, str]:
    """Return what ``model.json`` tells of every network: checksum, grid, and how it was trained; never where it lay.

    Parameters
    ----------
    folders : iterable of Path
        Weights folders that were loaded, so that they are known to be whole.
    """
    told: dict[str, object] = {}
    for folder in folders:
        spec = read_json(folder / SPEC_FILE)
        kind = spec["kind"]
        told |= {f"{kind}: weights SHA-256": spec["sha256"], f"{kind}: trained at": f"{spec['spacing_mm']} mm"}
        told |= {
            f"{kind}: {name.replace('_', ' ')}": value
            for name, value in spec.get("lineage", {}).items()
            if isinstance(value, str | int | float)
        }
    return as_texts(told)


def software_versions() -> dict[str, str]:
    """Return the versions of what made the result."""
    versions = {"bmenet": __version__, "Python": platform.python_version()}
    return versions | {name: metadata.version(name) for name in _SOFTWARE}


def as_texts(values: Mapping[str, object]) -> dict[str, str]:
    """Return values as a page shows them: numbers with six digits."""
    return {name: f"{value:.6g}" if isinstance(value, float) else str(value) for name, value in values.items()}
