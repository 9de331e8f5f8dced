import numpy as np
import pytest

from bmenet.imaging.brain import background_mask, foreground_mask
from bmenet.runtime.errors import VolumeError


def test_foreground_mask_fills_ventricles_and_drops_specks():
    data = np.zeros((30, 30, 30), np.float32)
    data[5:25, 5:25, 5:25] = 0.6
    data[12:15, 12:15, 12:15] = 0.0
    data[1, 1, 1] = 0.9
    brain_mask = foreground_mask(data)
    assert brain_mask.sum() == 20**3
    assert brain_mask[13, 13, 13]
    assert not brain_mask[1, 1, 1]
    with pytest.raises(VolumeError, match="with a brain"):
        foreground_mask(np.zeros_like(data))


def test_background_mask_spares_every_piece_of_tissue_and_its_rim():
    data = np.zeros((40, 40, 40), np.float32)
    data[5:25, 5:25, 5:25] = 0.6
    data[10:14, 10:14, 10:14] = 0.0
    data[30:34, 30:34, 30:34] = 0.3
    data[2, 37, 2] = 0.9
    background = background_mask(data)
    assert not background[5:25, 5:25, 5:25].any()
    assert not background[30:34, 30:34, 30:34].any()
    assert not background[3, 15, 15]
    assert background[2, 15, 15]
    assert background[2, 37, 2]
