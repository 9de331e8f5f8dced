"""Training losses."""

from bmenet.losses.coarse import CoarseLoss

__all__ = ["CoarseLoss"]
