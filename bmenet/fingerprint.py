"""Fingerprint of the code that decides a result: what an earlier version kept is then not taken for new."""

import ast
import hashlib
from functools import cache
from pathlib import Path

_PACKAGE = Path(__file__).parent


@cache
def code_fingerprint(*files: str) -> str:
    """Hash source files of the package by their syntax tree: comments and layout do not count.

    Parameters
    ----------
    *files : str
        Paths relative to the package, such as ``"resample.py"`` or ``"degradation/motion.py"``.

    Examples
    --------
    >>> code_fingerprint("grid.py") == code_fingerprint("grid.py")
    True
    >>> code_fingerprint("grid.py") == code_fingerprint("volume.py")
    False
    """
    trees = [ast.dump(ast.parse((_PACKAGE / name).read_text(encoding="utf-8"))) for name in files]
    return hashlib.sha256("\n".join(trees).encode()).hexdigest()[:16]
