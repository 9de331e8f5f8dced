"""What a measure of quality is."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Measure:
    """A measure of one scan.

    Parameters
    ----------
    description : str
        One line for the reader of a table.
    needs : {"tissue", "air"}
        The tissues of the brain alone, or the air around the head too: a skull-stripped scan has none.
    lower_is_better : bool
    """

    description: str
    needs: Literal["tissue", "air"] = "tissue"
    lower_is_better: bool = False
