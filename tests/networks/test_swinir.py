import torch

from bmenet.config.profiles import load_profile
from bmenet.networks.coarse import build_coarse


def test_swinir_as_published_has_its_published_size() -> None:
    # DESIGN: unshuffle 4, embed 180, 8 x 6 layers, 6 heads, window 8, ratio 2: about 15.8 million parameters, as the
    # SwinIR of the coarse-to-fine restorers that use this configuration.
    with torch.device("meta"):
        network = build_coarse(load_profile("paper").coarse)
    assert 15.2e6 < sum(parameter.numel() for parameter in network.parameters()) < 16.2e6
