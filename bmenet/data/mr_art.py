"""MR-ART: one scan of a person lying still and up to two of the same person moving; nobody simulated the motion."""

import csv
from dataclasses import dataclass
from pathlib import Path

from bmenet.data.sources.openneuro import BUCKET, Bucket
from bmenet.runtime.errors import SourceError

MR_ART_BUCKET = f"{BUCKET}/ds004173"
STILL = "standard"
MOVED = ("headmotion1", "headmotion2")
"""BIDS ``acq-`` labels: slight motion, and stronger one."""


@dataclass(frozen=True)
class MatchedPair:
    """Two scans of one person in one session: where the data set has the still one and the moved one."""

    subject: str
    still: str
    moved: str
    acquisition: str
    """Of the moved scan: one of `MOVED`."""
    score: int | None = None
    """The neuroradiologists' score of the moved scan: 1 good, 2 medium, 3 bad for clinical use; None if not known."""


@dataclass(frozen=True)
class MatchedScans:
    """What the data set has of one person; no pairs if there is no scan without motion, or none with.

    Some acquisitions are missing: of the 444 that the data set could have, 436 are there.
    """

    subject: str
    pairs: tuple[MatchedPair, ...]
    missing: tuple[str, ...]


class MrArt(Bucket):
    """The movement-related artefacts data set, OpenNeuro ds004173 (CC0), in its bucket or in a mirror of it.

    148 healthy adults, whole heads without faces, 192 x 256 x 256 voxels of 1 mm.

    References
    ----------
    Narai et al. (2022), Movement-related artefacts (MR-ART) dataset of matched motion-corrupted and clean structural
    MRI brain scans, Scientific Data 9:630, doi:10.1038/s41597-022-01694-8.
    """

    @classmethod
    def at(cls, base: str | None, downloads: Path) -> "MrArt":
        """Open the folder or URL `base`, which has participants.tsv and ``sub-*/anat``; by default the public bucket.

        Raises
        ------
        SourceError
            If the folder does not exist.
        """
        data_set = cls(base or MR_ART_BUCKET, downloads)
        if not data_set.is_remote and not Path(data_set.base).is_dir():
            raise SourceError(f"expected a folder or a URL with participants.tsv and sub-*/anat; got {base!r}")
        return data_set

    def subjects(self) -> list[str]:
        """Return those that participants.tsv lists, in its order."""
        return list(self.participants())

    def find_pairs(self, subject: str) -> MatchedScans:
        """Look for a person's three scans, and for the scores in ``sub-*_scans.tsv``, which may be missing."""
        here = {label: self.has(_location(subject, label)) for label in (STILL, *MOVED)}
        missing = tuple(label for label, is_here in here.items() if not is_here)
        found = [label for label in MOVED if here[label]] if here[STILL] else []
        scores = self._scores(subject) if found else {}
        pairs = (
            MatchedPair(subject, _location(subject, STILL), moved, label, scores.get(moved))
            for label in found
            if (moved := _location(subject, label))
        )
        return MatchedScans(subject, tuple(pairs), missing)

    def _scores(self, subject: str) -> dict[str, int]:
        """Return location to score; empty if the data set has no table of the person's scans."""
        name = f"{subject}/{subject}_scans.tsv"
        if not self.has(name):
            return {}
        try:
            with open(self.local(name), newline="", encoding="utf-8-sig") as handle:
                rows = [row for row in csv.DictReader(handle, delimiter="\t") if row.get("score") not in (None, "n/a")]
            return {f"{subject}/{row['filename']}": int(row["score"]) for row in rows}
        except (OSError, UnicodeDecodeError, csv.Error, KeyError, ValueError) as error:
            raise SourceError(f"{name}: expected the columns filename and score (a whole number); {error!r}") from error


def _location(subject: str, acquisition: str) -> str:
    return f"{subject}/anat/{subject}_acq-{acquisition}_T1w.nii.gz"
