import pytest

from bmenet.data.download import RETRY, UnreachableError
from bmenet.data.participants import Covariates
from bmenet.data.sources.openneuro import BUCKET, Bucket, OpenNeuroSource
from bmenet.runtime.errors import SourceError, VolumeError

QUICK = RETRY.new(backoff_factor=0)
TABLE = "participant_id\tage\tgender\tgroup\nsub-02\t39\tm\tdepr\nsub-01\tn/a\tf\tcontrol\n"


@pytest.fixture
def mirror(tmp_path, write_scan):
    for name in ("sub-01", "sub-02"):
        write_scan(tmp_path / "mirror" / name / "anat" / f"{name}_T1w.nii.gz")
    (tmp_path / "mirror" / "participants.tsv").write_text(TABLE)
    return tmp_path / "mirror"


@pytest.fixture
def remote(mirror, server, tmp_path):
    server.is_s3 = True
    for path in mirror.rglob("*.*"):
        server.files[f"ds/{path.relative_to(mirror)}"] = path.read_bytes()
    return OpenNeuroSource(f"{server.url}/ds/", tmp_path / "downloads")


def test_openneuro_lists_the_participants_with_their_covariates(mirror, remote):
    for source in (OpenNeuroSource(str(mirror), mirror), remote):
        subjects = source.subjects()
        assert [(subject.id, subject.covariates) for subject in subjects] == [
            ("sub-02", Covariates(39.0, "M")),
            ("sub-01", Covariates(None, "F")),
        ]


def test_openneuro_reads_the_same_scan_from_a_folder_and_a_url(mirror, remote):
    folder, notes = OpenNeuroSource(str(mirror), mirror), []
    subject = folder.subjects()[0]
    there, here = remote.read(subject, notes.append), folder.read(subject, notes.append)
    assert (there.volume.data == here.volume.data).all()
    assert any(note.endswith("MB") for note in notes)


def test_openneuro_keeps_an_unfinished_download_and_drops_a_finished_one(remote, server):
    subject = remote.subjects()[0]
    server.faults[f"ds/{subject.location}"] = ["cut", "404"]
    with pytest.raises(SourceError, match="404"):
        remote.read(subject, print)
    assert [path.suffix for path in remote.bucket.downloads.glob("*_T1w*")] == [".part"]
    remote.read(subject, print)
    assert server.requests[-1][1] is not None, "the second call goes on where the first was cut"
    assert list(remote.bucket.downloads.glob("*_T1w*")) == []


def test_openneuro_does_not_keep_a_file_that_is_no_scan(remote, server):
    subject = remote.subjects()[0]
    server.files[f"ds/{subject.location}"] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x03\x00" + bytes(8)
    with pytest.raises(VolumeError):
        remote.read(subject, print)
    assert list(remote.bucket.downloads.glob("*_T1w*")) == []


def test_openneuro_names_a_subject_that_the_mirror_lacks(mirror):
    source = OpenNeuroSource(str(mirror), mirror)
    subject = source.subjects()[1]
    (mirror / subject.location).unlink()
    with pytest.raises(SourceError, match=r"^sub-01/anat/.*: cannot be read .*participants\.tsv lists.*data\.sources"):
        source.fingerprint(subject)


def test_openneuro_does_not_follow_a_table_out_of_the_data_set(mirror):
    (mirror / "participants.tsv").write_text("participant_id\n../secret\n")
    with pytest.raises(SourceError, match=r"named like 'sub-01'; got '\.\./secret'"):
        OpenNeuroSource(str(mirror), mirror).subjects()


def test_openneuro_takes_the_data_set_s_folder_in_the_public_bucket_by_default(tmp_path):
    assert OpenNeuroSource.at("ds000011", None, tmp_path).bucket.base == f"{BUCKET}/ds000011"
    assert OpenNeuroSource.at("ds000011", "copy", tmp_path).bucket.base == "copy"


@pytest.fixture
def bucket(server, tmp_path):
    server.files["ds/there.txt"] = b"content"
    return Bucket(f"{server.url}/ds", tmp_path / "downloads", QUICK)


def test_has_tells_what_a_server_offers_and_a_folder_holds(bucket, tmp_path):
    assert [bucket.has(name) for name in ("there.txt", "gone.txt")] == [True, False]
    (tmp_path / "there.txt").write_text("content")
    (tmp_path / "folder").mkdir()
    folder = Bucket(str(tmp_path), tmp_path / "downloads")
    assert [folder.has(name) for name in ("there.txt", "gone.txt", "folder")] == [True, False, False]


def test_has_asks_a_busy_server_again_and_does_not_take_a_refusal_for_a_missing_file(bucket, server, tmp_path):
    server.faults["ds/there.txt"] = ["503", "503"]
    assert bucket.has("there.txt")
    assert len(server.requests) == 3
    for status in ("403", "503"):
        server.faults["ds/there.txt"] = [status] * 5
        with pytest.raises(SourceError, match=rf"/ds/there\.txt: expected .*{status}"):
            bucket.has("there.txt")
        server.faults["ds/there.txt"].clear()
    with pytest.raises(UnreachableError, match=r"cannot be reached, tried 5 times\. Check the network"):
        Bucket("http://127.0.0.1:1/ds", tmp_path, QUICK).has("there.txt")


def test_local_keeps_a_small_file_under_its_own_name(bucket):
    assert bucket.local("there.txt").read_bytes() == b"content"
    assert [path.name for path in bucket.downloads.iterdir()] == ["there.txt"]
