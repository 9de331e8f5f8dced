"""The degradation model: motion, noise, intensity inhomogeneity; one effect, one file."""

from bmenet.degradation.compose import DEGRADATIONS, acquire, apply, draw, effects, magnitude, phase_encode_axis

__all__ = ["DEGRADATIONS", "acquire", "apply", "draw", "effects", "magnitude", "phase_encode_axis"]
