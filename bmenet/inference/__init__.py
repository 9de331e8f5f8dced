"""Run a trained model on volumes and on scans."""

from bmenet.inference.enhancer import Enhancer

__all__ = ["Enhancer"]
