"""Which simulator meets which scan."""

from dataclasses import dataclass

from benchmarks.robustness.degradations import CLEAN, COMBINED, DEGRADATIONS
from benchmarks.robustness.subjects import PLAIN, VARIANTS, Variant
from bmenet.runtime.errors import BMENetError

_MARK = "@"


@dataclass(frozen=True)
class Case:
    """A simulator on a kind of scan.

    Parameters
    ----------
    degradation : str
        A name of `DEGRADATIONS`.
    variant : str
        A name of `VARIANTS`.
    """

    degradation: str
    variant: str = PLAIN

    @property
    def name(self) -> str:
        """What ``--cases`` takes: the simulator, and behind an @ what is special about the scan."""
        return self.degradation if self.variant == PLAIN else f"{self.degradation}{_MARK}{self.variant}"

    @property
    def title(self) -> str:
        """What readers call it."""
        parts = [DEGRADATIONS[self.degradation].title, VARIANTS[self.variant].title]
        return "; ".join(part for part in parts if part)

    @property
    def scan(self) -> Variant:
        """The kind of scan."""
        return VARIANTS[self.variant]

    @property
    def is_clean(self) -> bool:
        """Whether the input is the clean scan itself."""
        return self.degradation == CLEAN


def _all_cases() -> dict[str, Case]:
    of_contrast = [name for name in VARIANTS if name != PLAIN]
    cases = [
        *(Case(name) for name in DEGRADATIONS),
        *(Case(COMBINED, variant) for variant in of_contrast),
        *(Case("111", variant) for variant in of_contrast),
        *(Case(CLEAN, variant) for variant in of_contrast if not VARIANTS[variant].is_stripped_late),
    ]
    return {case.name: case for case in cases}


CASES: dict[str, Case] = _all_cases()


def chosen_cases(names: list[str] | None) -> list[Case]:
    """Return the cases of some names; a simulator alone, or an @ and a kind of scan, stand for all that have it.

    Raises
    ------
    BMENetError
        If a name stands for none.
    """
    if names is None:
        return list(CASES.values())
    chosen: dict[str, Case] = {}
    for name in names:
        found = {key: case for key, case in CASES.items() if name in (key, _MARK + case.variant)}
        if not found:
            raise BMENetError(f"--cases: expected names of {', '.join(CASES)}, or @{', @'.join(VARIANTS)}; got {name}")
        chosen |= found
    return list(chosen.values())
