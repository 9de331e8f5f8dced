import os
import threading
import time

import pytest

from bmenet.runtime.files import atomic_path, read_json, sha256, write_json, write_text


def test_atomic_path_replaces_the_file_only_when_the_block_ends_well(tmp_path):
    path = tmp_path / "deep" / "volume.nii.gz"
    with atomic_path(path) as temporary:
        assert temporary.parent == path.parent
        assert temporary.name.endswith(".nii.gz")
        temporary.write_text("first")
        assert not path.exists()
    assert path.read_text() == "first"


def test_atomic_path_keeps_the_old_file_and_leaves_nothing_after_an_error(tmp_path):
    path = tmp_path / "a.txt"
    with pytest.raises(FileNotFoundError), atomic_path(path):
        pass
    assert list(tmp_path.iterdir()) == []
    path.write_text("old")

    def interrupted():
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_two_writers_of_one_file_both_write_a_whole_one(tmp_path):
    path = tmp_path / "a.txt"
    texts = ["a" * 10_000, "b" * 10_000]
    threads = [threading.Thread(target=write_text, args=(path, text)) for text in texts * 5]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_text() in texts
    assert list(tmp_path.iterdir()) == [path]


def _left_behind(path, token="0123abcd", age_s=0.0):
    """Make the temporary file that a killed writer of `path` left."""
    left = path.with_name(f".partial-{token}-{path.name}")
    left.write_text("half")
    os.utime(left, (time.time() - age_s,) * 2)
    return left


@pytest.mark.parametrize("name", ["a.nii.gz", "[a]*?.txt"])
def test_what_a_killed_writer_left_is_swept_by_the_next(tmp_path, name):
    left = _left_behind(tmp_path / name, age_s=3700)
    write_text(tmp_path / name, "whole")
    assert not left.exists()


def test_sweeping_spares_a_live_writer_and_other_files(tmp_path):
    path = tmp_path / "a.txt"
    kept = [_left_behind(path, age_s=3500), _left_behind(tmp_path / "b-a.txt", age_s=1e6)]
    kept.append(tmp_path / "other-a.txt")
    kept[-1].write_text("mine")
    os.utime(kept[-1], (0, 0))
    write_text(path, "whole")
    assert all(file.exists() for file in kept)


@pytest.mark.parametrize("name", ["n" * 251 + ".txt", "ö" * 125 + ".txt"])
def test_name_of_the_greatest_length_is_written_and_swept(tmp_path, name):
    with atomic_path(tmp_path / name) as temporary:
        assert temporary.suffix == ".txt"
        temporary.write_text("whole")
        left = temporary.with_name(temporary.name)
    left.write_text("half")
    os.utime(left, (0, 0))
    write_text(tmp_path / name, "again")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_json_comes_back_as_it_was_written_and_what_is_none_is_refused(tmp_path):
    value = {"subject": "sub-01", "matrix": [[1.0, 0.25], [0.1, 1e-17]], "name": "Größe"}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "b.json", {"psnr": float("nan")})
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_sha256_is_the_known_digest(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    # FIPS 180-2, appendix B.1.
    assert sha256(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
