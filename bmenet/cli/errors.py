"""Turn expected errors into one line on stderr and exit code 1."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from bmenet.errors import BMENetError


@contextmanager
def exit_on_error() -> Iterator[None]:
    """Print a BMENetError on one line and exit with 1; any other exception keeps its traceback, it is a bug."""
    try:
        yield
    except BMENetError as error:
        print(f"bmenet: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(1) from error
