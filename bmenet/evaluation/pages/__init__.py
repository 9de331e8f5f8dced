"""Reports for the browser: one HTML file with a viewer, pictures and tables, which needs no network."""

from bmenet.evaluation.pages.layers import Layer
from bmenet.evaluation.pages.page import Page, Picture, Table, write_page

__all__ = ["Layer", "Page", "Picture", "Table", "write_page"]
