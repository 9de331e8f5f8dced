"""Which providers are used: in the order wanted, asked before ONNX Runtime complains."""

import pytest
import torch

from bmenet.restoration import Enhancer
from bmenet.restoration import providers as module
from bmenet.restoration.bundle import open_bundle
from bmenet.restoration.providers import choose_providers
from bmenet.runtime.errors import BMENetError
from tests.bundled import smoke_bundle


def test_order_is_the_user_s_and_what_the_machine_lacks_is_passed_over(monkeypatch):
    lacks = {}
    monkeypatch.setattr(module, "why_not", lacks.get)
    assert choose_providers(["cpu", "cuda"]) == ["cpu", "cuda"]
    lacks["tensorrt"] = "no libnvinfer"
    assert choose_providers(["tensorrt", "cuda", "cpu"]) == ["cuda", "cpu"]
    lacks["cuda"] = "no NVIDIA GPU"
    with pytest.raises(BMENetError, match="tensorrt: no libnvinfer; cuda: no NVIDIA GPU"):
        choose_providers(["tensorrt", "cuda"])
    with pytest.raises(BMENetError, match="expected some of tensorrt, cuda, cpu; got gpu"):
        choose_providers(["gpu", "cpu"])


@pytest.mark.skipif(bool(module.gpu_names()), reason="has a GPU")
def test_a_machine_without_a_gpu_hears_nothing_of_cuda(capfd, recwarn):
    enhancer = Enhancer.from_bundle(open_bundle(smoke_bundle()), "fine", "onnx", providers=["tensorrt", "cuda", "cpu"])
    enhancer.fine.networks.encode(torch.zeros(1, 1, 40, 56, 40))
    told = [*capfd.readouterr().err.splitlines(), *(str(warning.message) for warning in recwarn)]
    assert not [line for line in told if "CUDA" in line or "onnxruntime" in line]
