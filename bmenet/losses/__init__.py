"""Training losses."""

from bmenet.losses.image import CoarseLoss

__all__ = ["CoarseLoss"]
