"""A tracking store that has its tables already: making them takes seconds, so it is done once a process."""

import atexit
import shutil
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from bmenet.tracking.store import Place, Store


@cache
def _empty() -> Path:
    folder = Path(mkdtemp(prefix="bmenet-test-store-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    Store(Place(folder, f"sqlite:///{folder / 'mlflow.db'}"))
    return folder / "mlflow.db"


def add_store(root: Path) -> None:
    """Give a workspace an empty store."""
    (root / "mlflow").mkdir(exist_ok=True)
    shutil.copy(_empty(), root / "mlflow" / "mlflow.db")
