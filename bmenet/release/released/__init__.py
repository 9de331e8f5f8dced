"""Weights that come with the package: a folder each, a bundle with its card and its licence; and how they are found."""

from bmenet.release.released.card import CARD_FILE, LICENCE_FILE, Card, read_card
from bmenet.release.released.find import DEFAULT_NAME, Released, default_model, released_bundles, released_model

__all__ = [
    "CARD_FILE",
    "DEFAULT_NAME",
    "LICENCE_FILE",
    "Card",
    "Released",
    "default_model",
    "read_card",
    "released_bundles",
    "released_model",
]
