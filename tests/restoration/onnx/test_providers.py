"""Which providers are used: in the order wanted, asked before ONNX Runtime complains."""

import subprocess
import sys

import pytest

from bmenet.restoration.onnx import providers as module
from bmenet.restoration.onnx.providers import choose_providers
from bmenet.runtime.errors import BMENetError
from tests.bundled import smoke_bundle
from tests.conftest import REPOSITORY


@pytest.fixture
def machine(monkeypatch):
    """Return a function that says what the machine lacks."""

    def lacks(**reasons):
        monkeypatch.setattr(module, "why_not", lambda name: reasons.get(name))

    return lacks


def test_order_is_the_user_s(machine):
    machine()
    assert choose_providers(["tensorrt", "cuda", "cpu"]) == ["tensorrt", "cuda", "cpu"]
    assert choose_providers(["cpu", "cuda"]) == ["cpu", "cuda"]


def test_what_the_machine_lacks_is_passed_over(machine):
    machine(tensorrt="no NVIDIA GPU", cuda="no NVIDIA GPU")
    assert choose_providers(["tensorrt", "cuda", "cpu"]) == ["cpu"]


def test_none_that_works_is_an_error_with_every_reason(machine):
    machine(tensorrt="no libnvinfer", cuda="no NVIDIA GPU")
    with pytest.raises(BMENetError, match=r"tensorrt: no libnvinfer; cuda: no NVIDIA GPU.*add cpu"):
        choose_providers(["tensorrt", "cuda"])


def test_an_unknown_name_lists_the_known():
    with pytest.raises(BMENetError, match="expected some of tensorrt, cuda, cpu; got gpu"):
        choose_providers(["gpu", "cpu"])


@pytest.mark.skipif(bool(module.gpu_names()), reason="has a GPU")
def test_a_machine_without_a_gpu_hears_nothing_of_cuda():
    script = (
        "import torch; from bmenet.restoration.bundle import open_bundle; from bmenet.restoration import Enhancer;"
        f"bundle = open_bundle({str(smoke_bundle())!r});"
        "e = Enhancer.from_bundle(bundle, 'fine', 'onnx', providers=['tensorrt', 'cuda', 'cpu']);"
        "e.fine.networks.encode(torch.zeros(1, 1, 40, 56, 40)); print('done')"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout == "done\n"
    assert not [line for line in done.stderr.splitlines() if "CUDA" in line or "onnxruntime" in line]
