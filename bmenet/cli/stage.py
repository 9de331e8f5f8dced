"""The command line of a volume-parallel stage: ``python -m pipelines.<stage> [--scheduler ADDRESS] [--workers N]``."""

import argparse
import inspect
import os
from collections.abc import Callable

from bmenet.cli.errors import exit_on_error
from bmenet.runtime.parallel import SCHEDULER_VARIABLE, WORKERS_VARIABLE


def run_stage(main: Callable[[], None]) -> None:
    """Run the body of a stage where its command line, or else the environment, says.

    The place of the work is no parameter of the result: under ``dvc repro`` set ``BMENET_SCHEDULER`` or
    ``BMENET_WORKERS`` instead.
    """
    parser = argparse.ArgumentParser(description=inspect.getdoc(main))
    parser.add_argument("--scheduler", help=f"a Dask cluster, tcp://host:port (default: {SCHEDULER_VARIABLE})")
    parser.add_argument("--workers", help=f"processes on this machine (default: {WORKERS_VARIABLE}, or one a core)")
    arguments = parser.parse_args()
    for variable, value in ((SCHEDULER_VARIABLE, arguments.scheduler), (WORKERS_VARIABLE, arguments.workers)):
        if value:
            os.environ[variable] = value
    with exit_on_error():
        main()
