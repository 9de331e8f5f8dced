"""Turn expected errors into one line on stderr and exit code 1."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from bmenet.errors import BMENetError

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it: 128 and the number of SIGINT."""


@contextmanager
def exit_on_error() -> Iterator[None]:
    """Print a BMENetError on one line and exit with 1, after Ctrl-C with 130; any other exception is a bug: show it."""
    try:
        yield
    except BMENetError as error:
        print(f"bmenet: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(1) from error
    except KeyboardInterrupt:
        print("bmenet: interrupted; what was finished is kept", file=sys.stderr)
        raise SystemExit(INTERRUPTED) from None
