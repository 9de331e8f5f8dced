"""What the environment can say, and what it cannot."""

import pytest

from bmenet.runtime.errors import ConfigError
from bmenet.serving import Limits


def test_limits_have_defaults_and_empty_variables_do_not_change_them():
    defaults = Limits.from_environment({})
    assert defaults == Limits() == Limits.from_environment({"BMENET_MAX_BODY_MB": "", "BMENET_TOKEN": ""})
    assert defaults.hosts == {"localhost", "127.0.0.1", "[::1]"}
    assert defaults.token is None


def test_limits_come_from_the_environment():
    limits = Limits.from_environment(
        {
            "BMENET_MAX_BODY_MB": "8",
            "BMENET_MAX_DECOMPRESSED_MB": "64",
            "BMENET_MAX_VOXELS": "1000",
            "BMENET_MAX_WAITING": "0",
            "BMENET_BODY_TIMEOUT_S": "5",
            "MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT": "900",
            "BMENET_ALLOWED_HOSTS": "Scanner.example, 192.0.2.7,[2001:db8::1],",
        }
    )
    assert (limits.body_bytes, limits.decompressed_bytes, limits.voxels) == (8_000_000, 64_000_000, 1000)
    assert (limits.waiting, limits.body_timeout_s, limits.job_timeout_s) == (0, 5, 900)
    assert limits.hosts == {"localhost", "127.0.0.1", "[::1]", "scanner.example", "192.0.2.7", "[2001:db8::1]"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("BMENET_MAX_BODY_MB", "0"),
        ("BMENET_MAX_BODY_MB", "256MB"),
        ("BMENET_MAX_DECOMPRESSED_MB", "-1"),
        ("BMENET_MAX_VOXELS", str(513**3)),
        ("BMENET_MAX_WAITING", "-1"),
        ("BMENET_BODY_TIMEOUT_S", "0.5"),
        ("MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT", "nan"),
        ("BMENET_ALLOWED_HOSTS", "*"),
        ("BMENET_ALLOWED_HOSTS", "http://scanner"),
        ("BMENET_ALLOWED_HOSTS", "scanner:5001"),
        ("BMENET_TOKEN", "two words"),
        ("BMENET_TOKEN", "schlüssel"),
    ],
)
def test_nonsense_in_the_environment_names_its_variable(name, text):
    with pytest.raises(ConfigError, match=f"{name}: expected .*; got ") as error:
        Limits.from_environment({name: text})
    assert name != "BMENET_TOKEN" or text not in str(error.value)


def test_limits_do_not_show_the_token():
    assert "s3cret" not in repr(Limits(token="s3cret"))
