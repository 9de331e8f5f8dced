"""A bundle: one folder with a model's graphs, weights and settings, every file known by its checksum."""

from bmenet.restoration.bundle.manifest import MANIFEST_FILE, Graph, Manifest
from bmenet.restoration.bundle.read import Bundle, open_bundle

__all__ = ["MANIFEST_FILE", "Bundle", "Graph", "Manifest", "open_bundle"]
