"""The degradation model: motion, noise, intensity inhomogeneity; one effect, one file."""

from bmenet.degradation.compose import DEGRADATIONS, apply, draw, effects

__all__ = ["DEGRADATIONS", "apply", "draw", "effects"]
