"""Weights that come with the package: a folder each, a bundle with its card and its licence."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from bmenet.runtime.errors import WeightsError
from bmenet.runtime.files import read_json

DEFAULT_NAME = "bmenet-t1w-1mm"
RELEASED_FOLDER = Path(__file__).parent / "weights"
CARD_FILE = "MODEL_CARD.md"
LICENCE_FILE = "LICENSE.md"
_DESCRIPTION = "bundle.json"
_FENCE = "---\n"


class Card(NamedTuple):
    """A model's card: its measured quality in one line, and Markdown without the YAML head that model hubs want."""

    summary: str
    text: str


def read_card(content: str) -> Card:
    """Split a card into the summary in its head and its text; without a readable head the summary is empty."""
    if not content.startswith(_FENCE) or _FENCE not in content.removeprefix(_FENCE):
        return Card("", content)
    head, text = content.removeprefix(_FENCE).split(_FENCE, 1)
    try:
        about = yaml.safe_load(head)
    except yaml.YAMLError:
        about = None
    summary = about.get("summary", "") if isinstance(about, dict) else ""
    return Card(str(summary), text.lstrip("\n"))


@dataclass(frozen=True)
class Released:
    """A bundle that came with the package, listed from its description; `open_bundle` checks it."""

    folder: Path

    @property
    def name(self) -> str:
        """The folder's name."""
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

    @cached_property
    def description(self) -> dict[str, Any]:
        """The content of ``bundle.json``, unchecked."""
        return read_json(self.folder / _DESCRIPTION)

    @property
    def total_bytes(self) -> int:
        """Size of all its files but the description."""
        return sum(file["bytes"] for file in self.description["files"].values())


def released_bundles() -> list[Released]:
    """Return the released bundles that are installed, by name."""
    return [Released(path.parent) for path in sorted(RELEASED_FOLDER.glob(f"[!.]*/{_DESCRIPTION}"))]


def released_model(name: str) -> Released | None:
    """Return the released bundle of a name, if it is installed."""
    return next((released for released in released_bundles() if released.name == name), None)


def default_model() -> Released:
    """Return the default bundle; a WeightsError says that it is not installed."""
    if (found := released_model(DEFAULT_NAME)) is not None:
        return found
    others = ", ".join(released.name for released in released_bundles()) or "no released weights"
    raise WeightsError(
        f"{DEFAULT_NAME}: expected these weights in the package; got {others}; install bmenet from a wheel or a whole"
        " checkout, or name a model (--model, BMENET_MODEL): weights/coarse of a workspace in which `make repro` ran"
    )
