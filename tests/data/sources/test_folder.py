import re

import nibabel as nib
import numpy as np
import pytest

from bmenet.data.participants import Covariates
from bmenet.data.sources.folder import BidsSource, FolderSource
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


@pytest.mark.parametrize("has_table", [True, False])
def test_folder_reads_ixi_as_it_is_published(tmp_path, has_table):
    affine = np.diag([-2.0, -2, 2, 1])
    image = nib.Nifti1Image(np.arange(12 * 13 * 14, dtype=np.uint8).reshape(12, 13, 14), affine)
    for name in ("IXI276-HH-1840_T1", "IXI015-HH-1258_T1", "Subj1_T1"):
        path = tmp_path / f"{name}.nii"
        nib.save(image, path)
        content = bytearray(path.read_bytes())
        content[112:120] = np.array([np.nan, np.nan], "<f4").tobytes()  # scl_slope, scl_inter
        path.write_bytes(content)
    table = tmp_path / "participants.csv"
    table.write_text("subject,age,sex\nIXI276-HH-1840_T1,20.91,M\nIXI015-HH-1258_T1,24.28,M\n")
    source = FolderSource(tmp_path, table if has_table else None)
    subjects = source.subjects()
    assert [subject.id for subject in subjects[:2]] == ["IXI015-HH-1258", "IXI276-HH-1840"]
    assert re.fullmatch("sub-[0-9a-f]{8}", subjects[2].id)
    assert [subject.covariates.age for subject in subjects] == ([24.28, 20.91, None] if has_table else [None] * 3)
    scan = source.read(subjects[1], print)
    assert np.array_equal(scan.volume.data, image.get_fdata())
    assert nib.aff2axcodes(scan.volume.affine) == ("L", "P", "S")


def test_folder_takes_the_scan_s_kind_for_no_part_of_a_name(tmp_path, write_scan):
    write_scan(tmp_path / "scans" / "p17_T1w.nii.gz")
    write_scan(tmp_path / "scans" / "p18_T1.nii")
    table = tmp_path / "table.csv"
    table.write_text("subject,age\np17,60\np18_T1,61\n")
    found = {subject.id: subject.covariates.age for subject in FolderSource(tmp_path / "scans", table).subjects()}
    assert found == {"p17": 60.0, "p18": 61.0}


def test_folder_refuses_a_table_of_other_people(tmp_path, write_scan):
    write_scan(tmp_path / "002_S_0295.nii.gz")
    table = tmp_path / "table.csv"
    table.write_text("subject,age\n0295,60\n")
    with pytest.raises(SourceError, match="such as '002-S-0295'; got none of them, but '0295'"):
        FolderSource(tmp_path, table).subjects()


def test_folder_fingerprint_follows_the_slices_of_a_series(tmp_path, write_series):
    series = write_series(tmp_path / "002_S_0295" / "I1")
    source = FolderSource(tmp_path)
    (subject,) = source.subjects()
    before = source.fingerprint(subject)
    (series / "readme.txt").write_text("no slice")
    assert source.fingerprint(subject) == before
    (series / "2.dcm").write_bytes(bytes(128) + b"DICM" + b"other")
    assert source.fingerprint(subject) != before


def test_bids_takes_the_first_session_and_run_of_each_subject(tmp_path, write_scan):
    for source in (BidsSource(tmp_path), FolderSource(tmp_path)):
        with pytest.raises(SourceError, match="got none"):
            source.subjects()
    for location in (
        "sub-02/ses-2/anat/sub-02_ses-2_T1w.nii.gz",
        "sub-02/ses-1/anat/sub-02_ses-1_run-2_T1w.nii.gz",
        "sub-02/ses-1/anat/sub-02_ses-1_run-1_T1w.nii",
        "sub-02/ses-1/anat/sub-02_ses-1_T2w.nii.gz",
        "sub-01/anat/sub-01_T1w.nii.gz",
        "sub-03/anat/sub-03_T2w.nii.gz",
        "derivatives/sub-04/anat/sub-04_T1w.nii.gz",
    ):
        write_scan(tmp_path / location)
    (tmp_path / "sub-01" / "anat" / "sub-01_T1w.json").write_text("{}")
    assert [subject.location for subject in BidsSource(tmp_path).subjects()] == [
        "sub-01/anat/sub-01_T1w.nii.gz",
        "sub-02/ses-1/anat/sub-02_ses-1_run-1_T1w.nii",
    ]


@pytest.mark.parametrize("prefix", ["sub-", ""])
def test_bids_finds_covariates_with_and_without_the_prefix(tmp_path, write_scan, prefix):
    for name in ("sub-01", "sub-02"):
        write_scan(tmp_path / name / "anat" / f"{name}_T1w.nii.gz")
    (tmp_path / "participants.tsv").write_text(f"participant_id\tage\tsex\n{prefix}02\t71\tF\n")
    known = [subject.covariates for subject in BidsSource(tmp_path).subjects()]
    assert known == [Covariates(), Covariates(71.0, "F")]
