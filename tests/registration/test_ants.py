import numpy as np

from bmenet.registration import ants


def test_from_itk_turns_lps_fixed_to_moving_into_ras_moving_to_fixed():
    # By hand: a quarter turn about z with centre (10, 0, 0) and shift (1, 2, 3) takes the fixed LPS point (10, 5, 0)
    # to ((0 - 5) + 10 + 1, 0 + 2, 3) = (6, 2, 3); in RAS that is (-6, -2, 3) -> (-10, -5, 0).
    quarter_turn = [0, -1, 0, 1, 0, 0, 0, 0, 1]
    moving2fixed = ants.from_itk(np.array([*quarter_turn, 1.0, 2.0, 3.0]), np.array([10.0, 0.0, 0.0]))
    np.testing.assert_allclose(moving2fixed @ [-6, -2, 3, 1], [-10, -5, 0, 1], atol=1e-12)
    parameters = np.array([1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0])
    np.testing.assert_array_equal(ants.from_itk(parameters, np.array([3.0, -4.0, 5.0])), np.eye(4))
