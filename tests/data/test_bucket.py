import pytest

from bmenet.data.download import RETRY, UnreachableError
from bmenet.data.sources.openneuro import Bucket
from bmenet.runtime.errors import SourceError

QUICK = RETRY.new(backoff_factor=0)


@pytest.fixture
def remote(server, tmp_path):
    server.files["ds/there.txt"] = b"content"
    return Bucket(f"{server.url}/ds", tmp_path / "downloads", QUICK)


def test_has_tells_what_a_server_offers_and_a_folder_holds(remote, tmp_path):
    assert [remote.has(name) for name in ("there.txt", "gone.txt")] == [True, False]
    (tmp_path / "there.txt").write_text("content")
    (tmp_path / "folder").mkdir()
    folder = Bucket(str(tmp_path), tmp_path / "downloads")
    assert [folder.has(name) for name in ("there.txt", "gone.txt", "folder")] == [True, False, False]


def test_has_asks_a_busy_server_again(remote, server):
    server.faults["ds/there.txt"] = ["503", "503"]
    assert remote.has("there.txt")
    assert len(server.requests) == 3


@pytest.mark.parametrize("status", ["403", "503"])
def test_has_does_not_take_a_refusal_for_a_missing_file(remote, server, status):
    server.faults["ds/there.txt"] = [status] * 9
    with pytest.raises(SourceError, match=rf"/ds/there\.txt: expected .*{status}"):
        remote.has("there.txt")


def test_has_says_that_the_server_cannot_be_reached(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(UnreachableError, match=r"cannot be reached, tried 5 times\. Check the network"):
        Bucket("http://127.0.0.1:1/ds", tmp_path, QUICK).has("there.txt")


def test_fingerprint_of_a_file_changes_with_its_content(tmp_path):
    folder, prints = Bucket(str(tmp_path), tmp_path / "downloads"), set()
    for content in ("one", "two"):
        (tmp_path / "scan.nii.gz").write_text(content)
        prints.add(folder.fingerprint("scan.nii.gz"))
    assert len(prints) == 2


def test_local_keeps_a_small_file_under_its_own_name(remote):
    assert remote.local("there.txt").read_bytes() == b"content"
    assert [path.name for path in remote.downloads.iterdir()] == ["there.txt"]
