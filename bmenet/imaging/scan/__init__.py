"""Scans as people have them: read from NIfTI or DICOM in native space, written back on the same grid."""

from bmenet.imaging.scan.load import load_brain_mask, load_scan, scan_sha256
from bmenet.imaging.scan.scan import Scan, check_output_name, save_scan, stem

__all__ = ["Scan", "check_output_name", "load_brain_mask", "load_scan", "save_scan", "scan_sha256", "stem"]
