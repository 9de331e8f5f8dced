import gzip
import os
import socket
from functools import partial

import numpy as np
import pytest

from bmenet.data.download import RETRY, UnreachableError, download
from bmenet.runtime.errors import SourceError

CONTENT = gzip.compress(np.random.default_rng(0).bytes(300_000), mtime=0)
QUICK = RETRY.new(backoff_factor=0)
download = partial(download, retry=QUICK)


@pytest.fixture
def target(tmp_path):
    return tmp_path / "downloads" / "scan.nii.gz"


@pytest.fixture
def url(server):
    server.files["scan.nii.gz"] = CONTENT
    return f"{server.url}/scan.nii.gz"


def is_absent(target):
    """Nothing has the final name."""
    return not target.exists()


def test_download_brings_the_file_and_tells_its_progress(url, target):
    seen = []
    download(url, target, progress=lambda here, total: seen.append((here, total)))
    assert target.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert os.listdir(target.parent) == [target.name]


def test_download_goes_on_where_the_connection_broke(server, url, target):
    server.faults["scan.nii.gz"] = ["cut", "cut"]
    download(url, target)
    assert target.read_bytes() == CONTENT
    half = len(CONTENT) // 2
    assert [asked for _, asked in server.requests] == [
        None,
        f"bytes={half}-",
        f"bytes={half + (len(CONTENT) - half) // 2}-",
    ]


def test_download_goes_on_in_a_later_call(server, url, target):
    server.faults["scan.nii.gz"] = ["cut", "404"]
    with pytest.raises(SourceError, match="the server answered 404"):
        download(url, target)
    assert is_absent(target)
    download(url, target)
    assert target.read_bytes() == CONTENT
    assert server.requests[-1][1] == f"bytes={len(CONTENT) // 2}-"


def test_download_starts_again_where_the_server_has_no_ranges(server, url, target):
    server.has_ranges = False
    server.faults["scan.nii.gz"] = ["cut"]
    download(url, target)
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("fault", ["500", "503", "429"])
def test_download_tries_again_after_a_passing_refusal(server, url, target, fault):
    server.faults["scan.nii.gz"] = [fault, fault]
    download(url, target)
    assert target.read_bytes() == CONTENT
    assert len(server.requests) == 3


def test_download_gives_up_when_nothing_more_arrives(server, url, target):
    server.faults["scan.nii.gz"] = ["500"] * 9
    with pytest.raises(SourceError, match=r"the server answered 500 .*a copy of the data \(data\.mirror"):
        download(url, target, retry=QUICK.new(total=2))
    assert len(server.requests) == 3
    assert is_absent(target)


def test_download_gives_up_when_every_transfer_ends_at_once(server, url, target):
    server.faults["scan.nii.gz"] = ["cut"] * 40
    server.files["scan.nii.gz"] = CONTENT[:1]
    with pytest.raises(SourceError, match=r"expected the whole file; gave up after 3 tries: .*data\.mirror"):
        download(url, target, retry=QUICK.new(total=2))


@pytest.mark.parametrize("status", [403, 404])
def test_download_does_not_repeat_a_lasting_refusal(server, url, target, status):
    server.faults["scan.nii.gz"] = [str(status)]
    with pytest.raises(SourceError, match=f"the server answered {status}"):
        download(url, target)
    assert len(server.requests) == 1
    assert is_absent(target)


def test_download_notices_a_missing_end_without_a_length(server, url, target):
    server.files["scan.nii.gz"] = CONTENT[:-1000]
    server.faults["scan.nii.gz"] = ["no length", "no length"]
    with pytest.raises(SourceError, match="arrived damaged twice"):
        download(url, target)
    assert is_absent(target)


def test_download_recovers_from_damage_on_the_way(server, url, target):
    server.faults["scan.nii.gz"] = ["flip"]
    download(url, target)
    assert target.read_bytes() == CONTENT


def test_download_refuses_a_page_in_place_of_the_scan(server, url, target):
    server.files["scan.nii.gz"] = b"<html>please log in</html>"
    with pytest.raises(SourceError, match="arrived damaged twice: Not a gzipped file"):
        download(url, target)
    assert os.listdir(target.parent) == []


def test_download_checks_the_md5_that_s3_tells(server, target):
    server.is_s3 = True
    server.files["table.tsv"] = b"participant_id\n" * 50
    server.faults["table.tsv"] = ["flip", "flip"]
    with pytest.raises(SourceError, match="arrived damaged twice: MD5"):
        download(f"{server.url}/table.tsv", target.with_name("table.tsv"))
    download(f"{server.url}/table.tsv", target.with_name("table.tsv"))


@pytest.mark.parametrize("leftover", [b"other bytes " * 1000, CONTENT + b"more", CONTENT[:-1] + b"x"])
def test_download_throws_away_a_leftover_of_another_file(server, url, target, leftover):
    target.parent.mkdir()
    target.with_name("scan.nii.gz.part").write_bytes(leftover)
    download(url, target)
    assert target.read_bytes() == CONTENT


def test_download_does_not_join_a_wrong_range(server, url, target):
    server.faults["scan.nii.gz"] = ["cut", "wrong range"]
    download(url, target)
    assert target.read_bytes() == CONTENT


def test_download_says_what_to_do_without_a_network(target):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{unused.getsockname()[1]}/scan.nii.gz"
    message = r"the server cannot be reached, tried 2 times\. Check the network.*data\.mirror"
    with pytest.raises(UnreachableError, match=message):
        download(closed, target, retry=QUICK.new(total=1))


def test_download_reports_a_folder_it_cannot_write(url, tmp_path):
    (tmp_path / "scan.nii.gz").mkdir()
    with pytest.raises(SourceError, match="cannot be written"):
        download(url, tmp_path / "scan.nii.gz")
