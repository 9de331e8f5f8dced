"""Segmentation of a brain with interchangeable tools; a new tool is a class and a line here."""

from bmenet.evaluation.segmentation.atropos import AtroposSegmenter
from bmenet.evaluation.segmentation.fastsurfer import FastSurferSegmenter
from bmenet.evaluation.segmentation.labels import Segmentation, SegmentationError, Segmenter

SEGMENTERS: dict[str, type[Segmenter]] = {"atropos": AtroposSegmenter, "fastsurfer": FastSurferSegmenter}

__all__ = ["SEGMENTERS", "Segmentation", "SegmentationError", "Segmenter"]
