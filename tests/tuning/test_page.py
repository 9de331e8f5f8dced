"""A study is drawn as stills and as one page that fetches nothing and tells nothing of machines and people."""

import re

import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.samplers import RandomSampler
from PIL import Image
from plotly.offline import get_plotlyjs

from bmenet.tuning.page import draw_stills, interactive_plots, write_page

PNG = b"\x89PNG not much of a picture"


def _study(trials, directions=("maximize",)):
    """Return a study whose trial 3 failed, 4 was pruned if it may be, and the last still runs."""
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    study = optuna.create_study(directions=directions, sampler=RandomSampler(seed=1))

    def run(trial):
        steps, scale = trial.suggest_int("sampling.steps", 1, 6), trial.suggest_float("sampling.guidance.scale", 0, 0.2)
        trial.suggest_float("sampling.decay", 1e-4, 1e-2, log=True)
        decodes = trial.suggest_categorical("sampling.compose", ["residual", "decode"]) == "decode"
        trial.set_user_attr("where", "/secret/folder")
        if trial.number == 3:
            raise RuntimeError
        value = 1 + 0.1 * steps - 5 * scale - decodes
        if len(directions) > 1:
            return value, 2.0 * steps
        trial.report(0.3, 1)
        if trial.number == 4:
            raise optuna.TrialPruned
        return value

    study.optimize(run, n_trials=trials, catch=RuntimeError)
    study.ask()
    return study


@pytest.mark.parametrize(
    ("trials", "stills"), [(0, []), (1, ["history", "slice"]), (16, ["history", "slice", "importance", "contour"])]
)
def test_stills_are_pictures_of_what_the_trials_suffice_for(trials, stills, tmp_path):
    (tmp_path / "pareto.png").write_bytes(b"of an earlier study")
    written = draw_stills(_study(trials), ["quality"], tmp_path)
    assert sorted(written) == sorted(stills)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(f"{name}.png" for name in stills)
    for path in written.values():
        assert np.asarray(Image.open(path).convert("L")).std() > 10


@pytest.mark.parametrize("objectives", [["quality", "seconds"], ["seconds", "quality"]])
def test_two_objectives_have_a_front_and_plots_of_each(objectives, tmp_path):
    directions = ["minimize" if name == "seconds" else "maximize" for name in objectives]
    study = _study(16, directions)
    assert {"pareto", "history", "history_seconds"} <= set(draw_stills(study, objectives, tmp_path))
    plots = interactive_plots(study, objectives)
    assert {"pareto", "history", "history_seconds", "slice_seconds"} <= set(plots)
    axes = re.search(r'"xaxis":\{[^}]*"title":\{"text":"(\w+)"', plots["pareto"])
    assert axes.group(1) == "seconds"


def test_plots_are_fragments_without_attributes_of_trials():
    plots = interactive_plots(_study(16), ["quality"])
    assert set(plots) == {"history", "importance", "slice", "contour", "parallel", "intermediate", "timeline"}
    for name, plot in plots.items():
        assert plot.startswith("<div"), name
        assert not re.search(r"<html|src=|secret", plot), name
    assert "compose" not in plots["contour"]


def test_the_page_is_one_file_that_fetches_nothing_and_escapes_every_text(tmp_path):
    picture = tmp_path / "history.png"
    picture.write_bytes(PNG)
    path = tmp_path / "site" / "page.html"
    tables = {"Trials": pd.DataFrame({"trial": [3], "reason": ["<1>"]}), "Nothing": pd.DataFrame()}
    plots = {"history": "<div><p>fragment</p></div>"}
    write_page(path, "Search <b>demo</b>", {"Best <i>": "a & b"}, tables, plots, {"history": picture})
    assert [file.name for file in path.parent.iterdir()] == ["page.html"]
    text = path.read_text(encoding="utf-8")
    assert text.count(get_plotlyjs()) == 1
    own = text.replace(get_plotlyjs(), "")
    sources = re.findall(r'\ssrc="([^"]*)"', own)
    assert sources
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert not re.search(r"<(link|b|i|iframe)[\s>]", own)
    assert "default-src 'none'" in own
    assert not re.search(r"https?://|@import|url\(", own)
    assert "Search &lt;b&gt;demo" in own
    assert "&lt;1&gt;" in own
    assert "<p>fragment</p>" in own
    assert "Nothing" not in own
