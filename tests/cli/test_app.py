"""The command line as a whole."""

import subprocess
import sys

import pytest

import bmenet as package
from bmenet.cli import COMMANDS


def test_version_is_printed_and_an_unknown_command_is_wrong_use(bmenet):
    assert bmenet("--version").stdout == f"bmenet {package.__version__}\n"
    assert bmenet("improve").exit_code == 2


def test_help_names_every_command_and_the_exit_codes(bmenet):
    text = " ".join(bmenet("--help").stdout.split())
    assert all(name in text for name in COMMANDS)
    assert "130 after Ctrl-C; 143 after SIGTERM" in text


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_names_the_exit_codes(bmenet, command):
    text = " ".join(bmenet(command, "--help").stdout.split())
    assert text.count("Exit codes: 0 done; 1") == 1


def test_help_does_not_wait_for_heavy_libraries():
    code = "import sys, bmenet.cli; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "typer" in loaded
    assert not {"torch", "ants", "monai", "mlflow", "nibabel", "scipy", "nilearn"} & set(loaded)
