"""A model's card: what it is for, what it was trained on, how good it is. Markdown with a YAML head, as on hubs."""

from dataclasses import dataclass

import yaml

CARD_FILE = "MODEL_CARD.md"
LICENCE_FILE = "LICENSE.md"
_FENCE = "---\n"


@dataclass(frozen=True)
class Card:
    """A model's card.

    Parameters
    ----------
    summary : str
        Its measured quality in one line.
    text : str
        Markdown, without the head.
    """

    summary: str
    text: str


def read_card(content: str) -> Card:
    """Split a card into the summary that its head gives and its text; a head that is none leaves the summary empty."""
    if not content.startswith(_FENCE) or _FENCE not in content.removeprefix(_FENCE):
        return Card("", content)
    head, text = content.removeprefix(_FENCE).split(_FENCE, 1)
    try:
        about = yaml.safe_load(head)
    except yaml.YAMLError:
        about = None
    summary = about.get("summary", "") if isinstance(about, dict) else ""
    return Card(str(summary), text.lstrip("\n"))
