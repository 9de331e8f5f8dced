import pytest

from bmenet.imaging.scan.checksum import scan_sha256
from bmenet.runtime.errors import VolumeError
from bmenet.runtime.files import sha256


def test_checksum_of_a_file_is_that_of_its_bytes(tmp_path):
    (tmp_path / "scan.nii").write_bytes(b"voxels")
    assert scan_sha256(tmp_path / "scan.nii") == sha256(tmp_path / "scan.nii")


def test_checksum_of_a_series_is_that_of_its_images_whatever_their_names(tmp_path):
    def series(name, images):
        folder = tmp_path / name
        folder.mkdir()
        for file, content in images.items():
            (folder / file).write_bytes(content)
        return scan_sha256(folder)

    one, two = (bytes(128) + b"DICM" + end for end in (b"1", b"2"))
    first = series("a", {"1.dcm": one, "2.dcm": two})
    assert series("b", {"x": two, "y": one, "notes.txt": b"mine"}) == first
    assert series("c", {"1.dcm": one}) != first


def test_checksum_of_nothing_is_an_error(tmp_path):
    with pytest.raises(VolumeError, match="cannot be read"):
        scan_sha256(tmp_path / "none.nii")
