import pytest

from bmenet.data.participants import Covariates
from bmenet.data.sources.folder import BidsSource
from bmenet.runtime.errors import SourceError


def test_bids_takes_the_first_session_and_run_of_each_subject(tmp_path, write_scan):
    with pytest.raises(SourceError, match="got none"):
        BidsSource(tmp_path).subjects()
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
