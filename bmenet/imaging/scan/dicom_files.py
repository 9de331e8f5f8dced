"""Which files are DICOM, and which of a folder make a series: told by their first bytes, before a reader is loaded."""

from pathlib import Path

from bmenet.runtime.errors import VolumeError

_FIRST_GROUPS = (b"\x02\x00", b"\x08\x00")
_FIRST_ELEMENTS = range(0x20)


def is_dicom(path: Path) -> bool:
    """Tell whether a file begins as DICOM does: 128 free bytes, then ``DICM``, or at once with its first elements."""
    try:
        with open(path, "rb") as handle:
            start = handle.read(132)
    except OSError:
        return False
    if start[128:] == b"DICM":
        return True
    is_element = start[:2] in _FIRST_GROUPS and int.from_bytes(start[2:4], "little") in _FIRST_ELEMENTS
    return is_element and start[4:6].isalpha() and start[4:6].isupper()


def dicom_files(path: Path) -> list[Path]:
    """Return the files of a DICOM series: `path` itself, or those in it, or in the one folder below that has some.

    Raises
    ------
    VolumeError
        If there are none, or several folders have some.
    """
    if not path.is_dir():
        return [path]
    if own := _dicom_in(path):
        return own
    below = {
        folder.name: files for folder in sorted(path.iterdir()) if folder.is_dir() and (files := _dicom_in(folder))
    }
    if len(below) > 1:
        raise VolumeError(
            f"{path.name}: expected a folder with one DICOM series; got {len(below)} in folders of their own"
            f" ({', '.join(list(below)[:5])}): name one of them"
        )
    if not below:
        raise VolumeError(f"{path.name}: expected a folder with a DICOM series; got no DICOM image in it")
    return next(iter(below.values()))


def _dicom_in(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if path.is_file() and is_dicom(path)]
