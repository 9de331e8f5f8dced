"""`bmenet profile`: the active one, the change to another, and a way out of a broken file."""

import pytest

from bmenet.config.profiles import Profiles


@pytest.fixture
def profiles(workspace) -> Profiles:
    return Profiles()


def test_profile_shows_the_difference_and_switches(bmenet, profiles):
    result = bmenet("profile", "demo")
    assert result.exit_code == 0
    assert "grid.spacing_mm" in result.stdout
    assert "is now demo" in result.stdout
    assert profiles.active() == "demo"


def test_profile_alone_marks_the_active_profile(bmenet, profiles):
    assert bmenet("profile").stdout.splitlines() == [
        f"{'*' if name == 'smoke' else ' '} {name}" for name in profiles.names()
    ]
    profiles.params.write_text(profiles.params.read_text().replace("edge_weight: 1.0", "edge_weight: 2.0"))
    assert bmenet("profile").stdout.splitlines()[-1] == "params.yaml is edited: it matches no profile"


@pytest.mark.parametrize("content", [b"seed: \xff\n", b"? [a]\n: 1\n", b"seed: [1\n", None], ids=repr)
def test_force_leads_out_of_a_file_that_is_no_configuration(bmenet, profiles, content):
    profiles.params.unlink()
    if content is None:
        profiles.params.mkdir()
    else:
        profiles.params.write_bytes(content)
    refused = bmenet("profile", "demo")
    assert refused.exit_code == 1
    assert "bmenet: params.yaml: expected an exact copy of a profile" in refused.stderr
    assert bmenet("profile", "demo", "--force").exit_code == 0
    assert profiles.active() == "demo"
    saved = profiles.root / "params.yaml.bak"
    assert saved.is_dir() if content is None else saved.read_bytes() == content
