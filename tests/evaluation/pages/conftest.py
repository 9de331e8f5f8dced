"""A small page: a bright block before, a brighter one after, what differs, and a spread."""

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from bmenet.evaluation.pages import Layer, Page, Picture, Table
from bmenet.imaging.volume import Volume


@pytest.fixture(scope="session")
def png() -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (8, 8), 128).save(buffer, format="png")
    return buffer.getvalue()


@pytest.fixture(scope="session")
def page(phantom: Volume, png: bytes) -> Page:
    before = phantom.with_data(phantom.data * 500)
    after = phantom.with_data(np.where(phantom.data > 0.7, phantom.data * 700, phantom.data * 400))
    spread = phantom.with_data(np.where(phantom.data > 0.7, np.float32(9), 0))
    return Page(
        "Two & a half <scans>",
        "subtitle",
        [
            Layer("before", before, "image", "counts"),
            Layer("after", after, "image", "counts"),
            Layer("after − before", after.with_data(after.data - before.data), "difference", "counts"),
            Layer("spread", spread, "uncertainty", "counts"),
        ],
        [Table("Table", pd.DataFrame([["a < b", "1.5 [1.0, 2.0]"]], columns=["Name", "Value"]), "A note.")],
        [Picture("Still", png, "A caption.")],
        {"seed": "0"},
        {"commit": "abc"},
        ["Mind the gap."],
    )
