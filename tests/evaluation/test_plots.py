"""The numbers that plots draw; how they draw them is matplotlib's."""

from bmenet.evaluation.plots import metric_by_code
from bmenet.evaluation.result import results_table
from bmenet.evaluation.summary import summarise


def test_metric_by_code_leaves_out_the_clean_volume_compared_with_itself(results):
    (axes,) = metric_by_code(summarise(results_table(results), 100, 1), "psnr").axes
    drawn = [container.lines[0].get_ydata() for container in axes.containers]
    assert [len(values) for values in drawn] == [3, 4, 4]
    assert max(map(max, drawn)) < 50
