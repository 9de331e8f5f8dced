"""Which MLflow run this process is: a registered model belongs to the run that made it."""

import os
import time

from bmenet.release.registry.access import answering
from bmenet.runtime.errors import TrackingError
from bmenet.tracking.place import Place
from bmenet.tracking.spool import Spool
from bmenet.tracking.store import Store

_POLL_S = 0.1
_TIMEOUT_S = 90.0


def own_run(stage: str, timeout_s: float = _TIMEOUT_S) -> str:
    """Return the id of the run that `track_stage` keeps for this process; wait until the store has it.

    Raises
    ------
    TrackingError
        If no run of the stage is tracked, or the store does not take it in time.
    """
    place = Place.of_workspace()
    spools = [Spool(path.parent) for path in place.spool.glob("*/run.json")]
    own = [spool for spool in spools if spool.header["pid"] == os.getpid() and spool.header["stage"] == stage]
    if not own:
        raise TrackingError(f"expected a tracked run of the stage {stage} in this process; got none")
    with answering():
        store = Store(place).name
    newest = max(own, key=lambda spool: spool.header["created"])
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        run_id, _ = newest.sent(store)
        if run_id:
            return run_id
        time.sleep(_POLL_S)
    raise TrackingError(
        f"expected the tracking store to take the run of the stage {stage} within {timeout_s:.0f} s; it did not; start "
        "the server, or correct MLFLOW_TRACKING_URI, and run the stage again"
    )
