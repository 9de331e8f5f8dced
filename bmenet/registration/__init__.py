"""Rigid registration (6 degrees of freedom) to the standard space, with interchangeable tools."""

from bmenet.registration.rigid import BACKENDS, AlignmentError, Registration, register

__all__ = ["BACKENDS", "AlignmentError", "Registration", "register"]
