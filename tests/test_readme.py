"""The README's numbers are those that were measured, and its links lead somewhere."""

import re
from pathlib import Path

import pytest

from docs.include import with_sections

REPOSITORY = Path(__file__).parents[1]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


def test_included_sections_are_those_of_the_reports():
    assert "<!-- include " in README
    assert with_sections(README, REPOSITORY) == README, "run `python -m docs.include`"


def test_every_relative_link_leads_to_a_file():
    targets = re.findall(r"\]\((?!https?://|#)([^)#\s]+)", README)
    assert targets
    assert [target for target in targets if not (REPOSITORY / target).exists()] == []


def test_a_section_ends_at_the_next_heading(tmp_path):
    (tmp_path / "a.md").write_text("# A\n\nfirst\n\n## B\n\n| x |\n\n### C\n\nlast\n")
    text = "before\n<!-- include a.md # B -->\nold\n<!-- end -->\nafter\n"
    assert with_sections(text, tmp_path) == "before\n<!-- include a.md # B -->\n\n| x |\n\n<!-- end -->\nafter\n"
    with pytest.raises(ValueError, match="expected the heading 'D'; got"):
        with_sections(text.replace("# B", "# D"), tmp_path)
