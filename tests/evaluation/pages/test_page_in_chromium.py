"""The page in a browser, from a file and in a frame that may only run scripts (as MLflow shows HTML)."""

import html
import io
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Frame, Locator, sync_playwright

from bmenet.evaluation.pages import Page, write_page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SOFTWARE_GRAPHICS = (
    *("--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader"),
    *("--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"),
)
PATIENCE_S = 60
RIM = 8  # pixels: rounded corners, and what a screenshot cuts off between two pixels

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome on the PATH")


@dataclass
class Viewer:
    """The page as it runs in the browser, and what it complained about."""

    frame: Frame
    complaints: list[str] = field(default_factory=list)

    def find(self, selector: str) -> Locator:
        return self.frame.locator(selector)

    def text(self, selector: str) -> str:
        return self.find(selector).inner_text()

    def picture(self, side: str) -> np.ndarray:
        """Return what a canvas shows, without its rim, (rows, columns, 3), as signed numbers."""
        shot = self.find(f"#{side}-canvas").screenshot()
        return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB")).astype(int)[RIM:-RIM, RIM:-RIM]

    def changed(self, side: str, before: np.ndarray) -> bool:
        """Tell whether a canvas comes to show something else: volumes are coloured in the next frames."""
        return wait(lambda: np.abs(self.picture(side) - before).max() > 20)

    def choose(self, side: str, number: int) -> None:
        """Choose a layer and wait until it is there."""
        self.find(f"#{side}-layer").select_option(str(number))
        assert wait(lambda: self.frame.evaluate("side => bmenetViewer.panes[side].number", side) == number)

    def set_slider(self, selector: str, value: float) -> None:
        self.find(selector).evaluate(
            "(slider, value) => { slider.value = value; slider.dispatchEvent(new Event('input')); }", value
        )

    def crosshair_mm(self, side: str) -> list[float]:
        pane = "const pane = bmenetViewer.panes[side].niivue"
        return self.frame.evaluate(
            f"side => {{ {pane}; return [...pane.frac2mm(pane.scene.crosshairPos)].slice(0, 3); }}", side
        )

    def click(self, side: str, x: float, y: float) -> None:
        box = self.find(f"#{side}-canvas").bounding_box()
        assert box is not None
        self.find(f"#{side}-canvas").click(position={"x": x * box["width"], "y": y * box["height"]})


def wait(is_true: Callable[[], bool], seconds: float = PATIENCE_S) -> bool:
    end = time.monotonic() + seconds
    while not (result := is_true()) and time.monotonic() < end:
        time.sleep(0.05)
    return result


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(SOFTWARE_GRAPHICS))
        yield browser
        browser.close()


def load(chromium: Browser, place: Path) -> Viewer:
    """Open a page and wait until its viewer is ready; whatever is asked of the network is a complaint."""
    tab = chromium.new_page(viewport={"width": 760, "height": 400})
    tab.set_default_timeout(1000 * PATIENCE_S)
    complaints: list[str] = []
    tab.on("console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None)
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.on(
        "request",
        lambda sent: None if re.match("(file|data|blob|about):", sent.url) else complaints.append(sent.url),
    )
    tab.goto(place.as_uri())
    viewer = Viewer(tab.frames[-1], complaints)
    assert wait(lambda: viewer.find("#viewer[data-ready]").count() == 1), (complaints, viewer.text("#viewer-message"))
    viewer.find('[data-plane="axial"]').click()
    return viewer


@pytest.fixture(scope="module")
def place(page: Page, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("report") / "page.html"
    write_page(place, page)
    return place


@pytest.fixture
def viewer(chromium: Browser, place: Path) -> Iterator[Viewer]:
    """The viewer in one plane; afterwards, that the browser complained of nothing."""
    viewer = load(chromium, place)
    yield viewer
    assert viewer.complaints == []
    viewer.frame.page.close()


def test_the_window_changes_every_image(viewer):
    left, right = viewer.picture("left"), viewer.picture("right")
    assert min(left.std(), right.std()) > 10
    viewer.set_slider("#image-high", 150)
    assert viewer.changed("left", left)
    assert viewer.changed("right", right)
    assert viewer.picture("left").mean() > left.mean()
    assert viewer.text('.readings [data-side="left"] .high') == "150"
    viewer.find("#reset-window").click()
    assert wait(lambda: np.abs(viewer.picture("left") - left).max() < 2)


def test_the_crosshair_of_one_side_moves_the_other_and_shows_the_values_of_the_volumes(viewer, page):
    for moved, other, x in (("left", "right", 0.42), ("right", "left", 0.58)):
        before = viewer.picture(other)
        viewer.click(moved, x, 0.4)
        assert viewer.crosshair_mm(moved) == pytest.approx(viewer.crosshair_mm(other), abs=0.01)
        assert viewer.changed(other, before)
    for index in ((20, 28, 20), (8, 28, 20), (19, 30, 22)):
        place_mm = nib.affines.apply_affine(page.layers[0].volume.affine, index).tolist()
        viewer.frame.evaluate(
            """place => { for (const { niivue } of Object.values(bmenetViewer.panes)) {
                niivue.scene.crosshairPos = niivue.mm2frac(place); niivue.createOnLocationChange(); } }""",
            place_mm,
        )
        for side, layer in (("left", page.layers[0]), ("right", page.layers[1])):
            assert float(viewer.text(f"#{side}-value").strip("≥ ")) == pytest.approx(layer.volume.data[index], abs=2)


def test_the_left_is_on_the_left_unless_radiologists_want_it_otherwise_and_arrow_keys_move_by_a_voxel(viewer):
    viewer.click("left", 0.4, 0.5)
    assert re.search(r"at [1-9][\d.]* L", viewer.text("#place"))
    assert viewer.text("#convention").startswith("Neurological")
    viewer.find("#radiological").check()
    viewer.click("left", 0.39, 0.5)
    assert re.search(r"at [1-9][\d.]* R", viewer.text("#place"))
    assert viewer.text("#convention").startswith("Radiological")
    viewer.find("#radiological").uncheck()
    viewer.click("left", 0.45, 0.5)
    before = viewer.crosshair_mm("left")
    viewer.frame.page.keyboard.press("ArrowRight")
    viewer.frame.page.keyboard.press("PageUp")
    after = viewer.crosshair_mm("left")
    np.testing.assert_allclose(np.subtract(after, before), [4, 0, 4], atol=2.01)  # from between voxels to a voxel
    assert viewer.crosshair_mm("right") == pytest.approx(after, abs=0.01)


def test_a_difference_is_orange_where_it_went_up_and_blue_where_it_went_down_and_a_slider_uncovers_it(viewer):
    viewer.choose("left", 2)
    red, _, blue = np.moveaxis(viewer.picture("left"), -1, 0)
    assert np.mean(red > blue + 60) > 0.02
    assert np.mean(blue > red + 60) > 0.02
    legend = viewer.text('.readings [data-side="left"] .legend').split()
    assert legend[0].startswith("-")
    assert legend[1:] == [legend[0].replace("-", "+"), "counts"]
    viewer.find('button[data-mode="swipe"]').click()
    stage = viewer.find(".stage")
    middle = stage.screenshot()
    divider = viewer.find(".divider")
    box = divider.bounding_box()
    assert box is not None
    mouse = viewer.frame.page.mouse
    mouse.move(box["x"] + box["width"] / 2, box["y"] + 40)
    mouse.down()
    mouse.move(box["x"] + 90, box["y"] + 40, steps=3)
    mouse.up()
    assert int(divider.get_attribute("aria-valuenow") or 50) > 55
    assert wait(lambda: stage.screenshot() != middle)


def test_the_page_works_in_a_frame_that_may_only_run_scripts(chromium, place, tmp_path):
    source = html.escape(place.read_text(encoding="utf-8"))
    host = f'<!doctype html><iframe sandbox="allow-scripts" width=740 height=900 srcdoc="{source}"></iframe>'
    (tmp_path / "host.html").write_text(host, encoding="utf-8")
    viewer = load(chromium, tmp_path / "host.html")
    assert viewer.frame.evaluate("origin") == "null"
    left, right = viewer.picture("left"), viewer.picture("right")
    assert min(left.std(), right.std()) > 10
    viewer.click("left", 0.42, 0.4)
    assert viewer.crosshair_mm("left") == pytest.approx(viewer.crosshair_mm("right"), abs=0.01)
    assert viewer.changed("right", right)
    viewer.choose("left", 2)
    assert viewer.changed("left", left)
    right = viewer.picture("right")
    viewer.set_slider("#image-high", 150)
    assert viewer.changed("right", right)
    assert viewer.complaints == []


def test_without_webgl_the_page_says_so_and_shows_still_pictures(chromium, place):
    tab = chromium.new_page()
    tab.add_init_script("HTMLCanvasElement.prototype.getContext = () => null")
    tab.goto(place.as_uri())
    assert "needs WebGL 2" in tab.inner_text("#viewer-message")
    assert tab.is_visible("figure img")
    assert not tab.is_visible("#left-layer")
    tab.close()
