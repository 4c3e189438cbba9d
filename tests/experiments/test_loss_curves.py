"""Figure 2, and how many local minima its networks have."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import scipy.stats
from figure_cases import SMALL

from smooth_recs.experiments.drawing_settings import Settings
from smooth_recs.experiments.figures import loss_curves, random_networks


def test_figure_2_shares_one_scale_a_row_and_p1():
    found = loss_curves.losses(SMALL)
    shown = loss_curves.scaled(found)
    assert set(found) == set(itertools.product(("weight norm", "layer norm"), loss_curves.BETAS, SMALL.p1))
    for row, p1 in itertools.product(loss_curves.kinds(SMALL), SMALL.p1):
        together = np.stack([shown[row, beta, p1] for beta in loss_curves.BETAS])
        assert (together.min(), together.max()) == (0.0, 1.0)
        original = np.stack([found[row, beta, p1] for beta in loss_curves.BETAS])
        ratio = np.ptp(together, axis=1) / np.ptp(original, axis=1)
        np.testing.assert_allclose(ratio, ratio[0])


def test_figure_2_has_the_networks_of_its_caption():
    kinds = loss_curves.kinds(Settings(norm_value=1.4))
    assert kinds["weight norm"] == random_networks.Kind("weight", 25.0, 0.25, norm_value=1.4, clip=6.0)
    assert dataclasses.astuple(kinds["layer norm"])[:3] == ("layer", 1.0, 1.0)
    assert loss_curves.BETAS == (0.0, 0.1, 0.5, 1.0)


def test_smelu_has_fewer_minima_than_relu_in_the_same_networks():
    found = loss_curves.counted(dataclasses.replace(SMALL, norm_values=(1.0,), p1=(0.1,), networks=12, points=2001))
    for counts in found.values():
        relu, narrow, wide = counts[0]
        assert (scipy.stats.ttest_rel(relu, narrow).pvalue, relu.mean() > narrow.mean()) < (0.01, True)
        assert relu.mean() > narrow.mean() > wide.mean()


def test_sentences_say_what_was_counted():
    settings = Settings(networks=4, norm_values=(1.0,), betas=(0.1, 1.0), p1=(0.5,))
    falling = {"layer norm": np.array([[[8, 9, 7, 8], [3, 4, 2, 3], [1, 0, 1, 0]]])}
    (said,) = loss_curves.minima_sentences(settings, falling)
    assert loss_curves.minima_verdict(settings, falling) == (
        "SmeLU 1 has fewer local minima than ReLU, beyond chance, in 1 of 1 kinds of random networks"
    )
    assert said.startswith("layer norm: 8.00 (6.70 to 9.30) minima with ReLU, 0.500 (")
    assert said.endswith("beyond chance at every width; the mean falls, or stays, with every step of β.")
    mixed = {"layer norm": np.array([[[8, 9, 7, 8], [3, 4, 2, 3], [4, 5, 3, 4]]])}
    assert loss_curves.minima_sentences(settings, mixed)[0].endswith("the mean does not fall with every step of β.")
    rising = {"layer norm": np.array([[[3, 4, 2, 3], [8, 9, 7, 8], [3, 5, 2, 3]]])}
    assert loss_curves.minima_verdict(settings, rising).startswith("It is not shown that SmeLU 1 has fewer")
    assert loss_curves.minima_sentences(settings, rising)[0].endswith(
        "No width has fewer minima than ReLU beyond chance."
    )
    partly = {"layer norm": np.array([[[8, 9, 7, 8], [8, 9, 8, 7], [1, 0, 1, 0]]])}
    assert "beyond chance at β = 1; " in loss_curves.minima_sentences(settings, partly)[0]
