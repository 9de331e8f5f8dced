import numpy as np
import pandas as pd
import pytest

from bmenet.evaluation.metrics import METRICS
from bmenet.evaluation.result import Result, results_table

PSNR = {("degraded", "111"): 20.0, ("n4", "111"): 21.0, ("coarse", "111"): 26.0}
PSNR |= {("degraded", "010"): 30.0, ("n4", "010"): 31.0, ("coarse", "010"): 32.0}
PSNR |= {("degraded", "000"): 100.0, ("n4", "000"): 40.0, ("coarse", "000"): 38.0}


@pytest.fixture
def results() -> list[Result]:
    """Three subjects, three codes, three methods; the second subject is 1 dB and the third 2 dB better everywhere."""
    slices = {"sagittal": np.zeros((6, 5)), "coronal": np.zeros((6, 4)), "axial": np.full((5, 4), 0.5)}
    return [
        Result(subject, code, method, dict.fromkeys(METRICS, 0.5) | {"psnr": psnr + better}, 2.0, slices)
        for better, subject in enumerate(("sub-01", "sub-02", "sub-03"))
        for (method, code), psnr in PSNR.items()
    ]


@pytest.fixture
def table(results) -> pd.DataFrame:
    """The same, a row a result."""
    return results_table(results)
