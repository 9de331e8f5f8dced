"""Classical restorations to compare with; a new one is a function of the degraded volume and a line here."""

from collections.abc import Callable

from bmenet.evaluation.baselines.bm4d import correct_and_filter
from bmenet.evaluation.baselines.n4 import correct_bias
from bmenet.evaluation.baselines.nlm import correct_and_denoise
from bmenet.imaging.volume import Volume

BASELINES: dict[str, Callable[[Volume], Volume]] = {
    "n4": correct_bias,
    "n4_nlm": correct_and_denoise,
    "n4_bm4d": correct_and_filter,
}

__all__ = ["BASELINES"]
