"""`bmenet registry`: what is published, who is champion, and one line when there is nothing to say."""

import json

import pytest
from typer.testing import CliRunner

from bmenet.cli.registry import registry_app
from bmenet.release.registry import Registry
from tests.release.published import make_run, make_store, publish


@pytest.fixture
def registry(workspace, monkeypatch):
    make_store(workspace, monkeypatch)
    return Registry()


def _run(*arguments):
    result = CliRunner().invoke(registry_app, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_list_shows_versions_aliases_digest_and_decision(registry):
    run_id = make_run(registry)
    first = publish(registry, "first", run_id)
    publish(registry, "second", run_id)
    registry.log_figures(first, run_id, {"validation.psnr_brain": 27.125})
    registry.client.set_model_version_tag("bmenet", "1", "gate.metric", "psnr_brain")
    assert _run("promote", 1, "--reason", "first of all").exit_code == 0

    table = _run("list").stdout
    for shown in ("1", "2", "champion", "challenger", first.digest[:8], "psnr_brain", "27.12", "promoted"):
        assert shown in table
    found = json.loads(_run("list", "--json").stdout)
    assert [(entry["version"], entry["aliases"]) for entry in found] == [(1, ["champion"]), (2, ["challenger"])]
    assert found[0]["validation"] == {"psnr_brain": 27.125}
    assert (found[0]["decision"], found[0]["reasons"]) == ("promoted", "first of all")
    assert found[0]["champion_since"].startswith("20")
    assert found[0]["spacing_mm"] == 4
    assert found[1]["decision"] is None
    assert "bundle.spacing_mm" in found[0]["tags"]


def test_promote_and_rollback_say_who_is_champion_now(registry):
    publish(registry, "first")
    publish(registry, "second")
    assert _run("promote", 1).stdout == "champion: version 1 (before: none)\n"
    assert _run("promote", 2).stdout == "champion: version 2 (before: version 1)\n"
    assert _run("rollback", "--reason", "blurred").stdout == "champion: version 1 (before: version 2)\n"
    assert registry.champion().number == 1
    assert "blurred" in json.loads(_run("list", "--json").stdout)[1]["reasons"]
    _failed(["promote", 9], "expected one of the versions 1, 2; got 9")
    for wrong in ("0", "champion"):
        assert _run("promote", wrong).exit_code == 2


def _failed(arguments, message):
    """Check for one line on stderr and exit code 1."""
    result = _run(*arguments)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert message in result.stderr


COMMANDS = (["list"], ["promote", 3], ["rollback"])


def test_an_empty_registry_is_an_error_in_one_line(registry):
    for command in COMMANDS:
        _failed(command, "before the present one" if command == ["rollback"] else "the registry holds none; run `dvc ")


def test_no_store_and_one_that_does_not_answer_are_told_in_one_line(workspace, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for command in COMMANDS:
        _failed(command, "no tracking store in")
    assert not (workspace / "mlflow").exists()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    _failed(["list"], "expected a model registry that answers")
