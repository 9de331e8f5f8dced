import pytest
import typer
from typer.testing import CliRunner

from bmenet.cli.profile import profile
from bmenet.config import load_config
from bmenet.config.profiles import Change, Profiles
from bmenet.runtime.errors import ConfigError


@pytest.fixture
def profiles(workspace) -> Profiles:
    return Profiles()


@pytest.fixture
def run(workspace):
    """Call `bmenet profile` with arguments in the workspace."""
    app = typer.Typer()
    app.command()(profile)
    return lambda *arguments: CliRunner().invoke(app, arguments)


def _edit(profiles: Profiles, old: str, new: str) -> str:
    text = profiles.params.read_text()
    assert old in text
    profiles.params.write_text(text.replace(old, new))
    return profiles.params.read_text()


def test_switch_copies_the_profile_with_its_comments(profiles):
    for name in profiles.names():
        assert profiles.switch(name) is None
        assert profiles.params.read_bytes() == profiles.path(name).read_bytes()
        assert profiles.active() == name
        assert load_config().profile == name


def test_switch_writes_a_missing_params_file(profiles):
    profiles.params.unlink()
    assert profiles.active() is None
    profiles.switch("demo")
    assert profiles.active() == "demo"


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("edge_weight: 1.0", "edge_weight: 2.0", r"\(coarse\.edge_weight\)"),
        ("edge_weight: 1.0", "edge_weight: 1.0  # tried 2", "comments or layout only"),
        ("edge_weight: 1.0", "edge_weight: heavy", "not even a valid configuration"),
    ],
    ids=["value", "comment", "invalid"],
)
def test_switch_refuses_to_lose_edits(profiles, old, new, named):
    edited = _edit(profiles, old, new)
    with pytest.raises(ConfigError, match=named):
        profiles.switch("demo")
    assert profiles.params.read_text() == edited


def test_switch_with_force_saves_the_edits_under_a_free_name(profiles):
    first = _edit(profiles, "edge_weight: 1.0", "edge_weight: 2.0")
    assert profiles.switch("smoke", force=True) == profiles.root / "params.yaml.bak"
    second = _edit(profiles, "edge_weight: 1.0", "edge_weight: 3.0")
    assert profiles.switch("demo", force=True) == profiles.root / "params.yaml.bak1"
    assert (profiles.root / "params.yaml.bak").read_text() == first
    assert (profiles.root / "params.yaml.bak1").read_text() == second
    assert profiles.active() == "demo"


def test_switch_refuses_an_invalid_profile(profiles):
    before = profiles.params.read_bytes()
    profiles.path("demo").write_text("seed: 1\n")
    with pytest.raises(ConfigError, match=r"params/demo\.yaml: profile: missing key"):
        profiles.switch("demo")
    assert profiles.params.read_bytes() == before


def test_edits_saved_as_a_profile_can_be_left_and_found_again(profiles):
    _edit(profiles, "edge_weight: 1.0", "edge_weight: 2.0")
    (profiles.root / "params" / "edgy.yaml").write_bytes(profiles.params.read_bytes())
    assert profiles.active() == "edgy"
    assert profiles.switch("demo") is None
    assert Change("coarse.edge_weight", 1.0, 2.0) in profiles.changes("edgy")


def test_changes_are_the_keys_that_differ(profiles):
    changes = {change.key: (change.old, change.new) for change in profiles.changes("demo")}
    assert changes["profile"] == ("smoke", "demo")
    assert changes["grid.spacing_mm"] == (4, 2)
    assert "seed" not in changes
    assert profiles.changes("smoke") == []


def test_outside_the_project_the_missing_folder_is_named(tmp_path):
    with pytest.raises(ConfigError, match="expected a folder with profiles; run inside the project"):
        Profiles(tmp_path).names()


def test_command_shows_the_difference_and_switches(run, profiles):
    result = run("demo")
    assert result.exit_code == 0
    assert "grid.spacing_mm" in result.stdout
    assert "is now demo" in result.stdout
    assert profiles.active() == "demo"


def test_command_alone_marks_the_active_profile(run, profiles):
    assert run().stdout.splitlines() == ["  base", "  demo", "  full", "  paper", "* smoke"]
    _edit(profiles, "edge_weight: 1.0", "edge_weight: 2.0")
    assert run().stdout.splitlines()[-1] == "params.yaml is edited: it matches no profile"


def test_command_exits_with_1_where_edits_would_be_lost(run, profiles):
    edited = _edit(profiles, "edge_weight: 1.0", "edge_weight: 2.0")
    result = run("demo")
    assert result.exit_code == 1
    assert "use --force" in result.stderr
    assert profiles.params.read_text() == edited
    assert run("demo", "--force").exit_code == 0
    assert profiles.active() == "demo"


@pytest.mark.parametrize("content", [b"seed: \xff\n", b"? [a]\n: 1\n", b"seed: [1\n", None], ids=repr)
def test_force_leads_out_of_a_file_that_is_no_configuration(run, profiles, content):
    profiles.params.unlink()
    if content is None:
        profiles.params.mkdir()
    else:
        profiles.params.write_bytes(content)
    refused = run("demo")
    assert refused.exit_code == 1
    assert "bmenet: params.yaml: expected an exact copy of a profile" in refused.stderr
    assert run("demo", "--force").exit_code == 0
    assert profiles.active() == "demo"
    saved = profiles.root / "params.yaml.bak"
    assert saved.is_dir() if content is None else saved.read_bytes() == content


def test_command_names_the_profiles_where_the_name_is_unknown(run):
    result = run("dmeo")
    assert result.exit_code == 1
    assert "expected one of base, demo, full, paper, smoke; got 'dmeo'" in result.stderr
