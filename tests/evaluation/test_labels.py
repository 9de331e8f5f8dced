from bmenet.evaluation.labels import (
    dice_metric,
    is_dice,
    metric_arrow,
    metric_label,
    volume_error_metric,
    volume_metric,
)


def test_metric_label_names_the_brain():
    assert metric_label("ssim_brain") == "brain SSIM"
    assert metric_label("hfen") == "HFEN"


def test_metric_label_of_a_tissue_is_the_region():
    assert metric_label(dice_metric("brain stem")) == metric_label(volume_metric("brain stem")) == "brain stem"


def test_dice_and_change_of_volume_are_told_apart():
    assert is_dice(dice_metric("csf"))
    assert not is_dice(volume_metric("csf"))


def test_metric_arrow_points_to_where_it_is_better():
    assert metric_arrow("hfen_brain") == "↓"
    assert metric_arrow("psnr") == metric_arrow(dice_metric("csf")) == "↑"
    assert metric_arrow(volume_metric("csf")) == ""
    assert metric_arrow(volume_error_metric("csf")) == "↓"
