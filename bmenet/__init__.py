"""BMENet: restore T1-weighted brain MRI from motion, noise and intensity inhomogeneity at once."""

__version__ = "0.2.1"
