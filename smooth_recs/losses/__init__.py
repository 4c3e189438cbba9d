"""What is minimised beside the labels' loss: the losses of the paper's alternatives (section 1.2)."""

from __future__ import annotations

from smooth_recs.losses.correlation import decorrelation
from smooth_recs.losses.ramp import Ramp
from smooth_recs.losses.teacher import logit, soft_label

__all__ = ["Ramp", "decorrelation", "logit", "soft_label"]
