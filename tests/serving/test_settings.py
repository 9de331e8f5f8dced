"""What the environment can say, and what it cannot."""

import pytest

from bmenet.runtime.errors import ConfigError
from bmenet.serving import Settings
from bmenet.serving.settings import is_loopback


def test_settings_have_defaults_and_empty_variables_do_not_change_them():
    defaults = Settings.from_environment({})
    assert defaults == Settings() == Settings.from_environment({"BMENET_MAX_BODY_MB": "", "BMENET_TOKEN": " "})
    assert defaults.hosts == {"localhost", "127.0.0.1", "::1"}
    assert defaults.token is None
    assert defaults.of_networks() == {"runtime": "onnx", "device": "auto", "providers": None, "precision": "fp32"}


def test_settings_come_from_the_environment():
    numbers = {"MAX_BODY_MB": 8, "MAX_DECOMPRESSED_MB": 64, "MAX_VOXELS": 1000, "MAX_WAITING": 0, "BODY_TIMEOUT_S": 5}
    others = {
        "MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT": "900",
        "BMENET_ALLOWED_HOSTS": "Scanner.example, 192.0.2.7,[2001:db8::1],",
        "BMENET_PROVIDERS": "tensorrt, cuda,cpu",
        "BMENET_PRECISION": "fp16",
    }
    settings = Settings.from_environment(others | {f"BMENET_{name}": str(value) for name, value in numbers.items()})
    assert {name: getattr(settings, name.lower()) for name in numbers} == numbers
    assert (settings.max_body_bytes, settings.job_timeout_s) == (8_000_000, 900)
    assert settings.hosts == {"localhost", "127.0.0.1", "::1", "scanner.example", "192.0.2.7", "2001:db8::1"}
    options = {"runtime": "onnx", "device": "auto", "providers": ["tensorrt", "cuda", "cpu"], "precision": "fp16"}
    assert settings.of_networks() == options


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("BMENET_MAX_BODY_MB", "0"),
        ("BMENET_MAX_DECOMPRESSED_MB", "-1"),
        ("BMENET_MAX_VOXELS", str(513**3)),
        ("BMENET_BODY_TIMEOUT_S", "0.5"),
        ("MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT", "nan"),
        ("BMENET_ALLOWED_HOSTS", "*"),
        ("BMENET_ALLOWED_HOSTS", "http://scanner"),
        ("BMENET_TOKEN", "two words"),
        ("BMENET_TOKEN", "schlüssel"),
        ("BMENET_DEVICE", "tpu"),
        ("BMENET_PRECISION", "fp8"),
        ("BMENET_PROVIDERS", "CPUExecutionProvider"),
    ],
)
def test_nonsense_in_the_environment_names_its_variable(name, text):
    with pytest.raises(ConfigError, match=f"{name}: expected .*; got .*; change or unset it") as error:
        Settings.from_environment({name: text})
    assert name != "BMENET_TOKEN" or text not in str(error.value)
    assert "s3cret" not in repr(Settings(token="s3cret"))


def test_torch_is_asked_for_no_providers_and_refuses_them():
    of_torch = {"BMENET_RUNTIME": "torch"}
    assert Settings.from_environment(of_torch).of_networks() == {"runtime": "torch", "device": "auto"}
    for name, value in (("BMENET_PROVIDERS", "cpu"), ("BMENET_PRECISION", "fp32")):
        with pytest.raises(ConfigError, match="BMENET_PROVIDERS: expected BMENET_RUNTIME onnx"):
            Settings.from_environment(of_torch | {name: value})


def test_addresses_of_this_machine_alone_are_loopback():
    assert all(map(is_loopback, ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", "LOCALHOST"]))
    assert not any(map(is_loopback, ["0.0.0.0", "::", "192.0.2.7", "localhost.example", ""]))
