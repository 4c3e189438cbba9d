"""Figure 3 at its default seed."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from figure_cases import SMALL

from smooth_recs.experiments.figures import loss_surfaces, random_networks


@pytest.mark.parametrize(("row", "clip"), [(loss_surfaces.ROWS[0], 6.0), (loss_surfaces.ROWS[1], 4.0)])
def test_figure_3_at_its_default_seed_is_what_the_paper_describes(row, clip):
    """A hill inside a closed curve of global minima gets lower with beta, and leaves a single minimum."""
    found = loss_surfaces.scores(dataclasses.replace(SMALL, surface_points=41), row)
    assert row.clip == clip
    hills = []
    for score in found[:3]:
        inside = score < row.target
        edge = np.concatenate([inside[0], inside[-1], inside[:, 0], inside[:, -1]])
        assert not edge.any()  # the curve is closed
        hills.append(row.loss(score)[inside].max() - row.loss(row.target))
    assert hills[0] > hills[1] > hills[2] > 0
    assert found[3].min() > row.target
    assert random_networks.minima_off_target(found[3], row.target) == 1
