import re
import warnings
from collections.abc import Iterator

import numpy as np
import optuna
import pytest
from optuna.samplers import RandomSampler
from PIL import Image

from bmenet.tuning.interactive_plots import plotly_parts
from bmenet.tuning.plots import draw

STILLS = ["history.png", "importance.png", "slice.png", "contour.png"]
PARTS = ["history", "importance", "slice", "contour", "parallel", "intermediate", "timeline"]
DEFAULT = {
    "sampling.steps": 1,
    "sampling.guidance.scale": 0.02,
    "sampling.guidance.decay": 1e-3,
    "sampling.compose": "residual",
    "sampling.fixed": 3,
}


def _study(trials: int, directions: tuple[str, ...] = ("maximize",)) -> optuna.Study:
    """Return a study whose trial 0 has the current parameters, 3 failed, 4 was pruned, and the last still runs."""
    study = optuna.create_study(directions=directions, sampler=RandomSampler(seed=1))
    study.enqueue_trial(DEFAULT, user_attrs={"is_default": True, "host": "secret-machine"})

    def run(trial):
        steps = trial.suggest_int("sampling.steps", 1, 6)
        scale = trial.suggest_float("sampling.guidance.scale", 0, 0.2)
        trial.suggest_float("sampling.guidance.decay", 1e-4, 1e-2, log=True)
        trial.suggest_int("sampling.fixed", 3, 3)
        decodes = trial.suggest_categorical("sampling.compose", ["residual", "decode"]) == "decode"
        trial.set_user_attr("where", "/secret/folder")
        if trial.number == 3:
            raise RuntimeError
        if len(directions) > 1:
            return 1 + 0.1 * steps - 5 * scale - decodes, 2.0 * steps
        trial.report(0.3, 1)
        if trial.number == 4:
            raise optuna.TrialPruned
        return 1 + 0.1 * steps - 5 * scale - decodes

    study.optimize(run, n_trials=trials, catch=RuntimeError)
    study.ask()
    return study


@pytest.fixture(scope="module", autouse=True)
def _silent() -> Iterator[None]:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    yield
    optuna.logging.set_verbosity(before)


@pytest.fixture(scope="module")
def single() -> optuna.Study:
    return _study(16)


@pytest.fixture(scope="module")
def double() -> optuna.Study:
    return _study(16, ("maximize", "minimize"))


@pytest.fixture
def figures(monkeypatch) -> dict:
    """Figures by file name, as they would be saved."""
    kept: dict = {}

    def keep(path, figure):
        kept[path.name] = figure
        figure.canvas.draw()

    monkeypatch.setattr("bmenet.tuning.plots.save_figure", keep)
    return kept


def _labels(axes) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


def _points(axes, label: str) -> np.ndarray:
    (found,) = [drawn for drawn in axes.collections if drawn.get_label() == label]
    return np.asarray(found.get_offsets())


def test_draw_writes_pictures(single, tmp_path):
    (tmp_path / "pareto.png").write_bytes(b"of an earlier study")
    paths = draw(single, ["quality"], tmp_path)
    assert [path.name for path in paths] == STILLS
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(STILLS)
    for path in paths:
        assert np.asarray(Image.open(path).convert("L")).std() > 10


def test_history_shows_every_way_a_trial_ends(single, figures, tmp_path):
    draw(single, ["quality"], tmp_path)
    (axes,) = figures["history.png"].axes
    assert _labels(axes) == ["best so far", "complete", "pruned, last", "failed or put back", "current parameters"]
    complete = [trial for trial in single.trials if trial.state.name == "COMPLETE"]
    np.testing.assert_allclose(_points(axes, "complete"), [(trial.number, trial.value) for trial in complete])
    np.testing.assert_allclose(_points(axes, "pruned, last"), [(4, 0.3)])
    assert _points(axes, "failed or put back")[:, 0] == [3]
    np.testing.assert_allclose(_points(axes, "current parameters"), [(0, single.trials[0].value)])
    best = axes.get_lines()[0].get_ydata()
    np.testing.assert_allclose(best[:-1], np.maximum.accumulate([trial.value for trial in complete]))
    assert axes.get_ylabel() == "quality, gain over the coarse result"


def test_history_of_an_objective_to_be_small_goes_down(double, figures, tmp_path):
    draw(double, ["quality", "seconds"], tmp_path)
    above, below = figures["history.png"].axes
    assert (np.diff(above.get_lines()[0].get_ydata()) >= 0).all()
    assert (np.diff(below.get_lines()[0].get_ydata()) <= 0).all()
    assert below.get_ylabel() == "seconds a volume"


def test_the_study_may_name_what_the_gain_is_over(figures, tmp_path):
    study = _study(1)
    study.set_user_attr("gain_over", "the degraded input")
    draw(study, ["quality"], tmp_path)
    assert figures["history.png"].axes[0].get_ylabel() == "quality, gain over the degraded input"


def test_importance_ranks_parameters_that_vary_under_short_names(single, figures, tmp_path):
    draw(single, ["quality"], tmp_path)
    (axes,) = figures["importance.png"].axes
    names = [text.get_text() for text in axes.get_yticklabels()]
    assert names[0] == "compose"
    assert sorted(names) == ["compose", "guidance.decay", "guidance.scale", "steps"]
    lengths = [bar.get_width() for bar in axes.patches]
    assert lengths == sorted(lengths, reverse=True)
    draw(single, ["quality"], tmp_path)
    assert [bar.get_width() for bar in figures["importance.png"].axes[0].patches] == lengths


def test_slice_has_a_panel_for_each_parameter_that_varies(single, figures, tmp_path):
    draw(single, ["quality"], tmp_path)
    panels = {axes.get_xlabel(): axes for axes in figures["slice.png"].axes if axes.get_xlabel()}
    assert sorted(panels) == ["compose", "guidance.decay", "guidance.scale", "steps"]
    assert [text.get_text() for text in panels["compose"].get_xticklabels()] == ["residual", "decode"]
    assert panels["guidance.decay"].get_xscale() == "log"
    points, best, default = panels["steps"].collections
    assert len(points.get_offsets()) == 14
    assert best.get_offsets()[0][1] == single.best_value
    assert default.get_offsets()[0].tolist() == [1, single.trials[0].value]


def test_contour_takes_the_most_important_numbers(single, figures, tmp_path):
    draw(single, ["quality"], tmp_path)
    ranked = [text.get_text() for text in figures["importance.png"].axes[0].get_yticklabels()]
    axes = figures["contour.png"].axes[0]
    assert [axes.get_xlabel(), axes.get_ylabel()] == [name for name in ranked if name != "compose"][:2]


@pytest.mark.parametrize("objectives", [["quality", "seconds"], ["seconds", "quality"]])
def test_pareto_has_the_time_to_the_right(objectives, figures, tmp_path):
    quality_first = objectives[0] == "quality"
    study = optuna.create_study(directions=["maximize", "minimize"][:: 1 if quality_first else -1])
    for number, (quality, seconds) in enumerate([(1.0, 2.0), (2.0, 5.0), (0.5, 3.0)]):
        values = (quality, seconds) if quality_first else (seconds, quality)
        study.add_trial(optuna.trial.create_trial(values=values, user_attrs={"is_default": number == 2}))
    assert [path.name for path in draw(study, objectives, tmp_path)] == ["history.png", "pareto.png"]
    (axes,) = figures["pareto.png"].axes
    assert axes.get_lines()[0].get_xydata().tolist() == [[2, 1], [5, 2]]
    assert _points(axes, "complete").tolist() == [[3, 0.5]]
    assert _points(axes, "current parameters").tolist() == [[3, 0.5]]
    assert [axes.get_xlabel(), axes.get_ylabel()] == ["seconds a volume", "quality, gain over the coarse result"]
    assert [text.get_text() for text in axes.texts] == ["0", "1"]


@pytest.mark.parametrize(("trials", "stills"), [(0, []), (1, ["history.png"]), (8, ["history.png", "slice.png"])])
def test_draw_leaves_out_what_too_few_trials_cannot_show(trials, stills, tmp_path):
    assert [path.name for path in draw(_study(trials), ["quality"], tmp_path)] == stills


def test_trials_that_all_failed_have_a_history(tmp_path):
    study = optuna.create_study()
    study.add_trial(optuna.trial.create_trial(state=optuna.trial.TrialState.FAIL))
    assert [path.name for path in draw(study, ["quality"], tmp_path)] == ["history.png"]
    assert not any(
        part.startswith("<") for name, part in plotly_parts(study, ["quality"]).items() if name != "timeline"
    )


def test_parts_are_fragments_without_plotly(single):
    parts = plotly_parts(single, ["quality"])
    assert list(parts) == PARTS
    for name, part in parts.items():
        assert part.startswith("<div "), name
        assert len(part) < 60_000
        assert f'id="plotly-{name}-0"' in part
        assert not re.search(r"<html|src=|https?://|secret|sampling\.", part)
    assert "current parameters" in parts["history"]
    assert "best so far" in parts["history"]
    assert "guidance.scale" in parts["importance"]
    assert "compose" not in parts["contour"]


def test_parts_of_two_objectives_have_a_plot_each_and_the_front(double):
    parts = plotly_parts(double, ["quality", "seconds"])
    assert sorted(parts) == sorted([*PARTS, "pareto"])
    for name in ("history", "importance", "slice"):
        assert parts[name].count("Plotly.newPlot(") == 2
    assert parts["pareto"].startswith("<")
    assert "seconds a volume" in parts["pareto"]
    assert "No trial reported a value" in parts["intermediate"]


def test_parts_that_cannot_be_made_say_why():
    parts = plotly_parts(_study(1), ["quality"])
    assert list(parts) == PARTS
    made = [name for name, part in parts.items() if part.startswith("<")]
    assert made == ["history", "intermediate", "timeline"]
    assert "two complete trials" in parts["slice"]
    assert "8 complete trials" in parts["importance"]


def test_nothing_is_said_and_optuna_stays_as_it_was(single, tmp_path, capfd):
    optuna.logging.set_verbosity(optuna.logging.INFO)
    before = len(single.trials)
    with warnings.catch_warnings():
        warnings.simplefilter("error", optuna.exceptions.ExperimentalWarning)
        draw(single, ["quality"], tmp_path)
        plotly_parts(single, ["quality"])
    assert capfd.readouterr() == ("", "")
    assert optuna.logging.get_verbosity() == optuna.logging.INFO
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    assert len(single.trials) == before
