"""Released weights are found by name, and told what they say of themselves."""

import pytest

from bmenet.release.released import CARD_FILE, DEFAULT_NAME, Card, default_model, read_card, released_bundles
from bmenet.release.released import released_model as by_name
from bmenet.restoration.bundle import MANIFEST_FILE, open_bundle
from bmenet.runtime.errors import WeightsError
from tests.bundled import install_release


def test_what_is_listed_is_what_the_bundle_says(tmp_path, monkeypatch):
    bundle = open_bundle(install_release(tmp_path, monkeypatch))
    (bundle.folder / CARD_FILE).write_text("---\nsummary: good\n---\n\n# Card\n")
    (released,) = released_bundles()
    assert (released.name, released.digest, released.total_bytes) == (DEFAULT_NAME, bundle.digest, bundle.total_bytes)
    assert released.description["spacing_mm"] == 4
    assert released.card == Card("good", "# Card\n")
    assert default_model() == released


def test_only_bundles_that_are_whole_are_found(tmp_path, monkeypatch):
    install_release(tmp_path, monkeypatch, "other")
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / ".partial-0123abcd-other").mkdir()
    (tmp_path / ".partial-0123abcd-other" / MANIFEST_FILE).write_text("{}")
    assert [released.name for released in released_bundles()] == ["other"]
    assert by_name("other") is not None
    assert by_name(".partial-0123abcd-other") is None
    with pytest.raises(WeightsError, match=rf"{DEFAULT_NAME}: expected these weights in the package; got other"):
        default_model()
    monkeypatch.setattr("bmenet.release.released.RELEASED_FOLDER", tmp_path / "nothing")
    with pytest.raises(WeightsError, match="got no released weights; install "):
        default_model()


@pytest.mark.parametrize(
    ("content", "card"),
    [
        ("# Card\n", Card("", "# Card\n")),
        ("---\nsummary: 'a: b'\n---\n# Card\n---\n", Card("a: b", "# Card\n---\n")),
        ("---\nsummary: [\n---\n# Card\n", Card("", "# Card\n")),
        ("---\n# Card\n", Card("", "---\n# Card\n")),
    ],
)
def test_a_card_s_head_is_taken_off(content, card):
    assert read_card(content) == card
