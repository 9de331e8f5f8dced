from pathlib import Path

import pytest
from ruamel.yaml import YAML

import bmenet.config
from bmenet.config import flatten, load_config
from bmenet.config.profiles import DEFAULT, Change, Profiles, load_profile
from bmenet.release.released import default_model
from bmenet.runtime.errors import ConfigError
from tests.conftest import REPOSITORY

NAMES = ["base", "demo", "full", "paper", "released", "smoke"]
SHIPPED = Path(bmenet.config.__file__).parent / "profiles"


@pytest.fixture
def profiles(workspace) -> Profiles:
    return Profiles()


@pytest.fixture
def own(workspace) -> Path:
    """The folder of the workspace's own profiles."""
    (workspace / "params").mkdir()
    return workspace / "params"


def _edit(profiles: Profiles, old: str, new: str) -> str:
    text = profiles.params.read_text()
    assert old in text
    profiles.params.write_text(text.replace(old, new))
    return profiles.params.read_text()


@pytest.mark.parametrize("name", NAMES)
def test_profile_is_valid_complete_and_names_itself(profiles, name):
    config = load_profile(name)
    assert config.profile == name
    assert profiles.names() == NAMES
    assert config.degradation == load_profile().degradation
    text = profiles.text(name)
    assert text.startswith(f"# {name}: ")
    assert text.count(" # ") > 75  # those of the default


@pytest.mark.parametrize("name", sorted(set(NAMES) - {DEFAULT}))
def test_overlay_is_short_and_holds_only_what_differs(profiles, name):
    text = (SHIPPED / f"{name}.yaml").read_text()
    overlay = YAML(typ="safe").load(text)
    parent = YAML(typ="safe").load(profiles.text(overlay.pop("extends", DEFAULT)))

    def same(section: dict, base: dict) -> list[str]:
        """Return the keys of an overlay's section that change nothing."""
        return [
            found
            for key, value in section.items()
            for found in (
                same(value, base[key])
                if isinstance(value, dict) and isinstance(base.get(key), dict)
                else [key] * (key in base and value == base[key])
            )
        ]

    assert same(overlay, parent) == []
    assert text.count("\n") < 80


def test_full_goes_on_from_base_and_released_evaluates_installed_networks_and_is_full_otherwise():
    """What is released is trained in two parts, on one grid, one split and one network."""
    base, full = load_profile("base"), load_profile("full")
    assert full.coarse.start_from == "weights/base/coarse"
    assert base.coarse.start_from is None
    for section in ("seed", "grid", "data", "registration", "intensity", "split", "degradation"):
        assert getattr(base, section) == getattr(full, section)
    assert (base.coarse.unet, base.coarse.context_slices) == (full.coarse.unet, full.coarse.context_slices)
    full, released = flatten(load_profile("full")), flatten(load_profile("released"))
    changed = {key for key in full if full[key] != released[key]} - {"profile"}
    assert {key.split(".")[0] for key in changed} == {"evaluate"}
    assert (REPOSITORY / released["evaluate.weights"]).samefile(default_model().folder / "weights")


def test_switch_writes_a_profile_with_its_comments(profiles):
    profiles.params.unlink()
    assert profiles.active() is None
    for name in ("demo", "full"):
        assert profiles.switch(name) is None
        assert profiles.params.read_text() == profiles.text(name)
        assert profiles.active() == name
        assert load_config() == profiles.load(name)


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


def test_edits_saved_as_a_profile_and_an_overlay_of_the_workspace_are_profiles(profiles, own):
    _edit(profiles, "edge_weight: 1.0", "edge_weight: 2.0  # tried 2")
    (own / "edgy.yaml").write_bytes(profiles.params.read_bytes())
    assert profiles.active() == "edgy"
    assert profiles.switch("demo") is None
    assert Change("coarse.edge_weight", 1.0, 2.0) in profiles.changes("edgy")
    assert profiles.switch("edgy") is None
    assert "# tried 2" in profiles.params.read_text()
    (own / "mine.yaml").write_text("# mine: at 1 mm\nextends: smoke\ngrid: {spacing_mm: 1}\n")
    profiles.switch("mine")
    assert profiles.params.read_text().startswith("# mine: at 1 mm\nprofile: mine\n")
    assert profiles.changes("smoke") == [Change("profile", "mine", "smoke"), Change("grid.spacing_mm", 1, 4)]
    assert profiles.edits() == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("grids: {spacing_mm: 1}\n", r"params/mine\.yaml: grids: unknown key"),
        ("seed: null\n", r"params/mine\.yaml: seed: missing key"),
        ("extends: mine\n", r"params/mine\.yaml: extends: expected no profile that extends itself; got \['mine'\]"),
        ("extends: yours\n", r"profile: expected one of .*; got 'yours'"),
        ("seed: [1\n", r"params/mine\.yaml: not valid YAML"),
    ],
)
def test_switch_refuses_an_invalid_profile(profiles, own, text, message):
    before = profiles.params.read_bytes()
    (own / "mine.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        profiles.switch("mine")
    assert profiles.params.read_bytes() == before
    assert profiles.switch("demo") is None


def test_apply_writes_params_and_returns_the_changes(profiles):
    before = profiles.params.read_text()
    values = {"sampling.guidance.scale": 1e-05, "sampling.compose": "decode", "sampling.steps": 1}
    assert profiles.apply(values) == profiles.edits()
    assert profiles.edits() == [
        Change("sampling.guidance.scale", 0.02, 1e-05),
        Change("sampling.compose", "residual", "decode"),
    ]
    lines = zip(before.split("\n"), profiles.params.read_text().split("\n"), strict=True)
    assert [new for old, new in lines if old != new] == [
        "    scale: 1.0e-05              # longest step, standard deviations of the latent; 0: no constraint",
        "  compose: decode               # decode: D(z0), as published | residual: r + strength * (D(z0) - D(E(r)))",
    ]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sampling.strength": 0.5, "sampling.steps": -1}, r"params\.yaml: sampling\.steps: expected"),
        ({"sampling.strength": 0.5, "sampling.step": 1}, r"params\.yaml: sampling\.step: unknown key"),
        ({"sampling.start_timestep": 999}, r"start_timestep"),
        ({"sampling.steps": {"low": 1}}, r"params\.yaml: sampling\.steps: expected"),
    ],
)
def test_apply_writes_nothing_that_is_not_valid(profiles, values, message):
    with pytest.raises(ConfigError, match=message):
        profiles.apply(values)
    assert profiles.active() == "smoke"


def test_apply_changes_no_value_that_is_tied_to_another(profiles):
    _edit(profiles, "mild:\n      motion: {", "mild:\n      motion: &m {")
    edited = _edit(profiles, "moderate:\n      motion: {", "moderate:\n      motion: *m # {")
    with pytest.raises(ConfigError, match=r"got YAML anchors that tie \['degradation\.presets\.moderate\.motion\.max"):
        profiles.apply({"degradation.presets.mild.motion.max_rotation_deg": 2.5})
    assert profiles.params.read_text() == edited
