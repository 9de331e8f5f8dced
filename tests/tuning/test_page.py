import base64
import re
from html.parser import HTMLParser

import pytest
from plotly.offline import get_plotlyjs

from bmenet.tuning.page import write_page

PNG = b"\x89PNG not much of a picture"


class _Reader(HTMLParser):
    """What a browser finds: addresses, anchors, ids and text."""

    def __init__(self):
        super().__init__()
        self.links, self.sources, self.ids, self.words, self.tags = [], [], [], [], []

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.tags.append(tag)
        self.links += [found["href"]] if "href" in found else []
        self.sources += [found["src"]] if "src" in found else []
        self.ids += [found["id"]] if "id" in found else []

    def handle_data(self, data):
        if self.tags[-1:] not in (["script"], ["style"]):
            self.words.append(data)


@pytest.fixture
def page(tmp_path):
    picture = tmp_path / "history.png"
    picture.write_bytes(PNG)
    path = tmp_path / "site" / "page.html"
    write_page(
        path,
        "Search <b>demo</b>",
        {"Scope": "sampling", "Best <i>": "a & b"},
        {"Best trials": [{"trial": "3", "quality": "<1>"}, {"trial": "4", "seconds": "2"}], "Nothing": []},
        {
            "history": '<div><div id="plotly-history-0"></div></div>',
            "slice": "Too few <trials>.",
            "My own": "<p>own</p>",
        },
        {"history": picture},
    )
    return path


def _read(text: str) -> _Reader:
    reader = _Reader()
    reader.feed(text)
    return reader


def test_the_page_is_one_file_that_fetches_nothing(page):
    assert [path.name for path in page.parent.iterdir()] == ["page.html"]
    text = page.read_text(encoding="utf-8")
    assert text.count(get_plotlyjs()) == 1
    found = _read(text)
    assert found.sources == [f"data:image/png;base64,{base64.b64encode(PNG).decode()}"]
    assert all(link.startswith("#") for link in found.links)
    assert "link" not in found.tags
    assert "default-src 'none'" in text
    own = text.replace(get_plotlyjs(), "")
    assert not re.search(r"https?://|@import|url\(", own)
    assert str(page.parents[1]) not in own


def test_every_anchor_has_a_section(page):
    found = _read(page.read_text(encoding="utf-8"))
    assert len(found.links) == 6
    assert {link.removeprefix("#") for link in found.links} <= set(found.ids)
    assert len(set(found.ids)) == len(found.ids)


def test_texts_are_escaped_and_fragments_are_not(page):
    text = page.read_text(encoding="utf-8")
    assert text.count("Search &lt;b&gt;demo&lt;/b&gt;") == 2
    assert "<dt>Best &lt;i&gt;</dt><dd>a &amp; b</dd>" in text
    assert "Too few &lt;trials&gt;." in text
    assert '<div><div id="plotly-history-0"></div></div>' in text
    assert "<p>own</p>" in text


def test_tables_have_the_columns_of_all_rows(page):
    text = page.read_text(encoding="utf-8")
    (table,) = re.findall("<table>.*?</table>", text)
    assert re.findall("<th scope=.col.>(.*?)</th>", table) == ["trial", "quality", "seconds"]
    assert re.findall("<td>(.*?)</td>", table) == ["&lt;1&gt;", "", "", "2"]
    assert "Nothing" not in text.replace(get_plotlyjs(), "")


def test_known_plots_have_a_heading_and_a_line_on_how_to_read_them(page):
    words = _read(page.read_text(encoding="utf-8")).words
    for word in ("History", "Slices", "My own"):
        assert words.count(word) >= 2
    assert sum(word.startswith("A point is a trial") for word in words) == 2


def test_a_page_that_cannot_be_finished_leaves_the_old_one(page, tmp_path):
    before = page.read_bytes()
    with pytest.raises(FileNotFoundError):
        write_page(page, "other", {}, {}, {}, {"history": tmp_path / "missing.png"})
    assert page.read_bytes() == before


def test_an_empty_study_has_a_page(tmp_path):
    write_page(tmp_path / "page.html", "Empty", {}, {}, {}, {})
    assert _read((tmp_path / "page.html").read_text(encoding="utf-8")).links == []
