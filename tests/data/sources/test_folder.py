import re

import pytest

from bmenet.data.participants import Covariates
from bmenet.data.sources.folder import FolderSource
from bmenet.runtime.errors import SourceError


def ids(source):
    return [subject.id for subject in source.subjects()]


@pytest.fixture
def write_series():
    """A function that makes a folder look like a DICOM series."""

    def write(folder, slices=3):
        folder.mkdir(parents=True)
        for number in range(slices):
            (folder / f"{number}.dcm").write_bytes(bytes(128) + b"DICM" + bytes([number]))
        return folder

    return write


def test_folder_finds_adni_scans_as_downloaded_and_no_hidden_files(tmp_path, write_scan, write_series):
    write_series(tmp_path / "ADNI/002_S_0295/MPRAGE/2011-06-02_07_56_36.0/I238540")
    write_scan(tmp_path / "ADNI/011_S_0002/MPR/2005-08-26/ADNI_011_S_0002_MR_MPR_I8402.nii")
    (tmp_path / "ADNI/011_S_0002/MPR/2005-08-26/notes.xml").write_text("x")
    for hidden in ("ADNI/._sub-01.nii.gz", ".cache/sub-02.nii.gz"):
        write_scan(tmp_path / hidden)
    assert ids(FolderSource(tmp_path)) == ["002-S-0295", "011-S-0002"]


def test_folder_finds_covariates_by_any_part_of_the_path(tmp_path, write_scan):
    write_scan(tmp_path / "scans" / "p17" / "t1.nii.gz")
    write_scan(tmp_path / "scans" / "p_18.nii.gz")
    table = tmp_path / "table.csv"
    table.write_text("Subject,Age,Sex\np17,60,F\np_18,61,M\n")
    subjects = FolderSource(tmp_path / "scans", table).subjects()
    assert {subject.id: subject.covariates for subject in subjects} == {
        "p17": Covariates(60.0, "F"),
        "p-18": Covariates(61.0, "M"),
    }


def test_folder_gives_pseudonyms_where_names_may_be_those_of_people(tmp_path, write_scan):
    for root in ("here", "there"):
        write_scan(tmp_path / root / "SMITH^JOHN_1970" / "scan.nii.gz")
    (name,) = ids(FolderSource(tmp_path / "here"))
    assert re.fullmatch("sub-[0-9a-f]{8}", name)
    assert ids(FolderSource(tmp_path / "there")) == [name]


def test_folder_refuses_a_table_of_other_people(tmp_path, write_scan):
    write_scan(tmp_path / "002_S_0295.nii.gz")
    table = tmp_path / "table.csv"
    table.write_text("subject,age\n0295,60\n")
    with pytest.raises(SourceError, match="such as '002-S-0295'; got none of them, but '0295'"):
        FolderSource(tmp_path, table).subjects()


def test_folder_refuses_an_empty_folder(tmp_path):
    with pytest.raises(SourceError, match="got none"):
        FolderSource(tmp_path).subjects()


def test_folder_fingerprint_follows_the_slices_of_a_series(tmp_path, write_series):
    series = write_series(tmp_path / "002_S_0295" / "I1")
    source = FolderSource(tmp_path)
    (subject,) = source.subjects()
    before = source.fingerprint(subject)
    (series / "readme.txt").write_text("no slice")
    assert source.fingerprint(subject) == before
    (series / "2.dcm").write_bytes(bytes(128) + b"DICM" + b"other")
    assert source.fingerprint(subject) != before
