"""Source `bids`: the raw data set in a folder, one T1w scan per subject."""

from bmenet.data.participants import Covariates, read_covariates
from bmenet.data.sources.base import Subject
from bmenet.data.sources.folder import FolderSource
from bmenet.runtime.errors import SourceError

_PATTERNS = ("anat/*_T1w.nii*", "ses-*/anat/*_T1w.nii*")


class BidsSource(FolderSource):
    """Subjects ``sub-*`` with a T1w scan in ``anat`` or ``ses-*/anat``.

    The first of several sessions or runs, in the order of their names, is taken. Age and sex come from
    participants.tsv, if there is one.
    """

    def subjects(self) -> list[Subject]:
        """Return the folders that hold a T1w scan, by name."""
        participants = self.root / "participants.tsv"
        table = read_covariates(participants) if participants.exists() else {}
        by_name = {name.removeprefix("sub-"): covariates for name, covariates in table.items()}
        found = []
        for folder in sorted(self.root.glob("sub-*/")):
            scans = [path for pattern in _PATTERNS for path in sorted(folder.glob(pattern))]
            if scans:
                covariates = by_name.get(folder.name.removeprefix("sub-"), Covariates())
                found.append(Subject(folder.name, scans[0].relative_to(self.root).as_posix(), covariates))
        if not found:
            raise SourceError(f"data.root: expected files sub-*/anat/*_T1w.nii.gz; got none in {self.root}")
        return found
