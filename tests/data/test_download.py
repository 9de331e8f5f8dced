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
    assert not target.exists()
    download(url, target)
    assert target.read_bytes() == CONTENT
    assert server.requests[-1][1] == f"bytes={len(CONTENT) // 2}-"


@pytest.mark.parametrize(
    ("faults", "has_ranges", "requests"),
    [
        (["503", "429"], True, 3),
        (["cut"], False, 2),
        (["cut", "wrong range"], True, None),
        (["flip"], True, 2),
    ],
)
def test_download_recovers_from_faults_on_the_way(server, url, target, faults, has_ranges, requests):
    server.faults["scan.nii.gz"], server.has_ranges = faults, has_ranges
    download(url, target)
    assert target.read_bytes() == CONTENT
    assert requests in (None, len(server.requests))


@pytest.mark.parametrize(
    ("faults", "content", "reason", "requests"),
    [
        (
            ["500"] * 9,
            CONTENT,
            r"the server answered 500 .*a copy of the data \(mirror of its entry in data\.sources",
            3,
        ),
        (["cut"] * 40, CONTENT[:1], r"gave up after 3 tries: .*mirror of its entry in data\.sources", None),
        (["403"], CONTENT, "the server answered 403", 1),
    ],
    ids=["always busy", "always cut", "forbidden"],
)
def test_download_gives_up_in_time(server, url, target, faults, content, reason, requests):
    server.faults["scan.nii.gz"], server.files["scan.nii.gz"] = faults, content
    with pytest.raises(SourceError, match=reason):
        download(url, target, retry=QUICK.new(total=2))
    assert requests in (None, len(server.requests))
    assert not target.exists()


@pytest.mark.parametrize(
    ("content", "faults"), [(CONTENT[:-1000], ["no length", "no length"]), (b"<html>please log in</html>", [])]
)
def test_download_refuses_what_is_no_whole_scan(server, url, target, content, faults):
    server.files["scan.nii.gz"], server.faults["scan.nii.gz"] = content, faults
    with pytest.raises(SourceError, match="arrived damaged twice"):
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


def test_download_says_what_to_do_without_a_network_or_a_place_to_write(url, target):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{unused.getsockname()[1]}/scan.nii.gz"
    message = r"the server cannot be reached, tried 2 times\. Check the network.*mirror of its entry in data\.sources"
    with pytest.raises(UnreachableError, match=message):
        download(closed, target, retry=QUICK.new(total=1))
    target.mkdir()
    with pytest.raises(SourceError, match="cannot be written"):
        download(url, target)
