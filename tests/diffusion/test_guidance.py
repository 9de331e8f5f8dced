import pytest
import torch
from torch.nn import functional

from bmenet.config import GuidanceConfig
from bmenet.diffusion.guidance import ProgressiveConstraint, local_ncc, ncc_gradient

CONFIG = GuidanceConfig(scale=0.05, start=200, power=2.0, window=9)


def decode(latent: torch.Tensor) -> torch.Tensor:
    """A smooth, differentiable decoder: the first channel, enlarged."""
    return torch.sigmoid(functional.interpolate(latent[:, :1], scale_factor=4.0, mode="trilinear"))


def constraint(config: GuidanceConfig, compose, reference: torch.Tensor) -> ProgressiveConstraint:
    return ProgressiveConstraint(config, lambda latent: ncc_gradient(latent, compose, reference, config.window))


@pytest.fixture
def reference(phantom) -> torch.Tensor:
    return torch.from_numpy(phantom.data)[None, None]


@pytest.fixture
def latent() -> torch.Tensor:
    return torch.randn(1, 3, 10, 14, 10, generator=torch.Generator().manual_seed(0))


def test_ncc_does_not_see_gain_and_offset_but_the_sign_and_is_near_zero_for_unrelated_volumes(reference):
    assert float(local_ncc(2 * reference + 0.3, reference, 9)) > 0.97
    assert float(local_ncc(-reference, reference, 9)) < -0.97
    noise = torch.rand(reference.shape, generator=torch.Generator().manual_seed(1))
    assert abs(float(local_ncc(noise, reference, 9))) < 0.05


def test_ncc_counts_only_windows_with_structure():
    # Where the reference is flat nothing can correlate: what is there must not matter.
    half_empty = torch.zeros(1, 1, 18, 9, 9)
    half_empty[:, :, :9] = torch.rand(9, 9, 9, generator=torch.Generator().manual_seed(0))
    changed = half_empty.clone()
    changed[:, :, 9:] = torch.rand(9, 9, 9, generator=torch.Generator().manual_seed(1))
    assert float(local_ncc(half_empty[:, :, :9], half_empty[:, :, :9], 9)) > 0.97
    assert float(local_ncc(changed[:, :, 9:], half_empty[:, :, 9:], 9)) == 0


def test_a_guidance_step_raises_ncc(reference, latent):
    constrain = constraint(CONFIG, decode, reference)
    before = float(local_ncc(decode(latent), reference, 9))
    moved = constrain(latent, 0)
    after = float(local_ncc(decode(moved), reference, 9))
    assert after > before + 1e-4
    # The other way round it would fall: the sign is that of ascent.
    back = float(local_ncc(decode(2 * latent - moved), reference, 9))
    assert back < before


def test_no_step_is_longer_than_the_scale_says(reference, latent):
    steep = constraint(CONFIG, lambda z: decode(50 * z), reference)
    longest = 0.05 * (1 - 50 / 200) ** 2
    lengths = [
        float((constrain(latent, 50) - latent).square().mean().sqrt())
        for constrain in (steep, constraint(CONFIG, decode, reference))
    ]
    assert max(lengths) <= longest * 1.001
    assert min(lengths) > 0


def test_there_is_no_step_where_the_image_is_the_reference_already(reference, latent):
    # As residual composition is at E(r): a step there would follow rounding noise.
    at_rest = constraint(CONFIG, lambda z: reference + decode(z) - decode(latent), reference)
    away = constraint(CONFIG, decode, reference)
    moved, moved_away = (float((c(latent, 0) - latent).square().mean().sqrt()) for c in (at_rest, away))
    assert moved < 0.05 * moved_away


def test_strength_rises_as_the_timestep_falls_and_zero_above_the_start_or_of_scale_is_no_step(reference, latent):
    constrain = constraint(CONFIG, decode, reference)
    strengths = [constrain.strength(t) for t in (999, 200, 150, 100, 10, 0)]
    assert strengths[:2] == [0, 0]
    assert strengths == sorted(strengths)
    assert strengths[-1] == pytest.approx(0.05)
    assert constrain(latent, 200) is latent

    def never(_latent):
        raise AssertionError("decoded for nothing")

    assert constraint(CONFIG.model_copy(update={"scale": 0.0}), never, reference)(latent, 0) is latent
