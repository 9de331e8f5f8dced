"""How good one scan is, without another to compare it to; a new measure is a definition and a line here."""

from bmenet.evaluation.quality.base import Measure

MEASURES: dict[str, Measure] = {
    "snr_csf": Measure("signal to spread within cerebrospinal fluid"),
    "snr_gm": Measure("signal to spread within grey matter: noise, bias field and blur between tissues lower it"),
    "snr_wm": Measure("signal to spread within white matter: noise and bias field lower it"),
    "snr_total": Measure("mean of the three above"),
    "snrd_total": Measure("signal of the three tissues to the noise in the air around the head (Dietrich)", "air"),
    "cnr": Measure("how far grey and white matter lie apart, in units of their spread and the air's", "air"),
    "cjv": Measure(
        "spread of grey and white matter over their distance: noise and bias field raise it", "tissue", True
    ),
    "efc": Measure("entropy of all that was measured: ghosts and blur of motion raise it", "air", True),
}

__all__ = ["MEASURES", "Measure"]
