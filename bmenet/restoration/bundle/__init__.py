"""A bundle: one folder with a model's graphs, weights and settings, and the checksum of every file."""

from bmenet.restoration.bundle.manifest import MANIFEST_FILE, Graph, Manifest
from bmenet.restoration.bundle.read import Bundle, find_bundle, open_bundle

__all__ = ["MANIFEST_FILE", "Bundle", "Graph", "Manifest", "find_bundle", "open_bundle"]
