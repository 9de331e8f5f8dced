"""Which released weights are installed, and which of them are used where nobody names others."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from bmenet.release.released.card import CARD_FILE, Card, read_card
from bmenet.runtime.errors import WeightsError
from bmenet.runtime.files import read_json

DEFAULT_NAME = "bmenet-t1w-1mm"
RELEASED_FOLDER = Path(__file__).parent
_DESCRIPTION = "bundle.json"


@dataclass(frozen=True)
class Released:
    """A bundle that came with the package. It is listed here, not checked: see `open_bundle`.

    Parameters
    ----------
    folder : Path
    """

    folder: Path

    @property
    def name(self) -> str:
        """What it is called: its folder's name."""
        return self.folder.name

    @cached_property
    def card(self) -> Card:
        """Its card; an empty one where it has none."""
        path = self.folder / CARD_FILE
        return read_card(path.read_text(encoding="utf-8")) if path.is_file() else Card("", "")

    @cached_property
    def digest(self) -> str:
        """SHA-256 of its description, which names the whole bundle."""
        return hashlib.sha256((self.folder / _DESCRIPTION).read_bytes()).hexdigest()

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages it has networks for."""
        return ("coarse", "fine") if self._description.get("fine") else ("coarse",)

    @property
    def spacing_mm(self) -> int:
        """Of its grid."""
        return int(self._description["spacing_mm"])

    @property
    def total_bytes(self) -> int:
        """Size of all its files but the description."""
        return sum(file["bytes"] for file in self._description["files"].values())

    @cached_property
    def _description(self) -> dict[str, Any]:
        return read_json(self.folder / _DESCRIPTION)


def released_bundles() -> list[Released]:
    """Return the released bundles that are installed, by name."""
    return [Released(path.parent) for path in sorted(RELEASED_FOLDER.glob(f"[!.]*/{_DESCRIPTION}"))]


def released_model(name: str) -> Released | None:
    """Return the released bundle of a name, if it is installed."""
    return next((released for released in released_bundles() if released.name == name), None)


def default_model() -> Released:
    """Return the bundle that is used where nobody names a model.

    Raises
    ------
    WeightsError
        If it is not installed.
    """
    if (found := released_model(DEFAULT_NAME)) is not None:
        return found
    others = ", ".join(released.name for released in released_bundles()) or "no released weights"
    raise WeightsError(
        f"{DEFAULT_NAME}: expected these weights in the package; got {others}; install bmenet from a wheel or a whole"
        " checkout, or name a model (--model, BMENET_MODEL): weights/coarse of a workspace in which `make repro` ran"
    )
