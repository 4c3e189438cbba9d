"""The chart of a sweep: where its points stand, and where their names are written."""

from __future__ import annotations

import pytest
from sweep_cases import figure_4

from smooth_recs.experiments.sweeps import sweep_charts
from smooth_recs.experiments.sweeps.sweep_charts import Label, place


def test_lines_go_by_the_activations_own_width():
    plane = sweep_charts.plane(figure_4(), ("pd", "per_query_auc_loss"))
    assert plane.lines == ["Smelu", "Softplus"]
    assert [point.width for point in plane.line("Smelu")] == [0.05, 0.1, 0.2]
    point = plane.line("Softplus")[0]
    assert (point.x, point.y) == (pytest.approx(0.12), pytest.approx(0.066))
    assert point.y_error == pytest.approx(0.002 / 3**0.5)
    assert point.x_error == pytest.approx(0.0, abs=1e-9)  # the baseline's noise is its own: pair by pair it is gone
    assert plane.front == ["softplus:5.0", "smelu:0.2", "smelu:0.1", "smelu:0.05"]


class Axes:
    """Where names were put: what `place` needs of matplotlib's axes."""

    def __init__(self):
        self.boxes = []

    def get_xlim(self):
        return 0.0, 400.0

    get_ylim = get_xlim

    def annotate(self, text, xy, offset, ha, fontsize, **_):
        width, height = 0.5 * fontsize * len(text), fontsize
        left = xy[0] + offset[0] - {"left": 0, "right": width, "center": width / 2}[ha]
        self.boxes.append((left, xy[1] + offset[1] - height / 2, left + width, xy[1] + offset[1] + height / 2))


def test_names_do_not_lie_over_each_other():
    """Eleven points close to each other, one in each corner."""
    at = [(180 + 9 * (k % 4), 190 + 8 * (k // 4)) for k in range(11)] + [(5, 5), (395, 5), (5, 395), (395, 395)]
    axes = Axes()
    place(axes, [Label(x, y, f"name number {k}", "#000000") for k, (x, y) in enumerate(at)], (400, 400))
    assert len(axes.boxes) == 15
    for index, (left, bottom, right, top) in enumerate(axes.boxes):
        assert min(left, bottom) >= 0
        assert max(right, top) <= 400
        for other in axes.boxes[:index]:
            assert right <= other[0] or other[2] <= left or top <= other[1] or other[3] <= bottom
