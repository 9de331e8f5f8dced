import numpy as np

from bmenet.imaging.figures import shown_slices


def test_shown_slices_put_anterior_and_superior_up_and_left_on_the_left():
    data = np.zeros((10, 12, 8), np.float32)
    data[0, -1, :] = 1  # leftmost, foremost column
    data[:, :, -1] += 2  # top
    slices = shown_slices(data)
    assert {plane: pixels.shape for plane, pixels in slices.items()} == {
        "axial": (12, 10),
        "coronal": (8, 10),
        "sagittal": (8, 12),
    }
    assert slices["axial"][0, 0] == 1
    assert (slices["coronal"][0] == 2).all()
    assert (slices["sagittal"][0] == 2).all()
    # The same place at every spacing.
    fine = np.arange(160, dtype=np.float32)[:, None, None] * np.ones((1, 224, 160), np.float32)
    coarse = fine[::2, ::2, ::2]
    assert shown_slices(fine)["sagittal"][0, 0] == shown_slices(coarse)["sagittal"][0, 0] == 92
