"""Segmentation of a brain with interchangeable tools; a new tool is a class and a line here."""

from bmenet.segmentation.atropos import AtroposSegmenter
from bmenet.segmentation.base import Segmentation, SegmentationError, Segmenter
from bmenet.segmentation.fastsurfer import FastSurferSegmenter

SEGMENTERS: dict[str, type[Segmenter]] = {"atropos": AtroposSegmenter, "fastsurfer": FastSurferSegmenter}

__all__ = ["SEGMENTERS", "Segmentation", "SegmentationError", "Segmenter"]
