"""Where a bundle lies in a folder: it is the folder, or one of a registered model's artifacts."""

from collections.abc import Sequence
from pathlib import Path

from bmenet.restoration.bundle.manifest import MANIFEST_FILE

_PLACES = ("", "artifacts/*")


def find_bundle(folder: Path) -> Path | None:
    """Return the first folder that has a bundle's description; it is not opened."""
    return first_with(MANIFEST_FILE, folder, _PLACES)


def first_with(name: str, folder: Path, places: Sequence[str]) -> Path | None:
    """Return the first of some places in a folder that holds a file.

    Parameters
    ----------
    name : str
        Of the file.
    folder : Path
        It need not be there.
    places : sequence of str
        Patterns relative to it, an empty one the folder itself.
    """
    for place in places:
        if found := sorted(folder.glob(f"{place}/{name}".removeprefix("/"))):
            return found[0].parent
    return None
