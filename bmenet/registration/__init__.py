"""Rigid registration (6 degrees of freedom) to the standard space, with interchangeable tools."""

from bmenet.registration.rigid import BACKENDS, AlignmentError, Registration, check_aligned, register

__all__ = ["BACKENDS", "AlignmentError", "Registration", "check_aligned", "register"]
