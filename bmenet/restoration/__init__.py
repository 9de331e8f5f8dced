"""Run a trained model on volumes and on scans."""

from bmenet.restoration.enhancer import Enhancer

__all__ = ["Enhancer"]
