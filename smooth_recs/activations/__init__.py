"""The activation family: functions of tensors, layers, and strings that Keras knows once this is imported."""

from smooth_recs.activations.base import Activation
from smooth_recs.activations.freezing import find, frozen
from smooth_recs.activations.functions import DEFAULT_BETA, gelu, gsmelu, rescu, smelu, softplus, swish
from smooth_recs.activations.layers import RESCU, GSmeLU, SmeLU
from smooth_recs.activations.others import celu, elu, leaky_relu, mish, relu, selu, tanhexp
from smooth_recs.activations.pieces import join
from smooth_recs.activations.probe import PreActivation, probe
from smooth_recs.activations.registration import get, register, serialize, takes_beta, with_beta
from smooth_recs.activations.schedules import width_schedule
from smooth_recs.activations.sharpness import GELU, Softplus, Swish

__all__ = [
    "DEFAULT_BETA",
    "GELU",
    "RESCU",
    "Activation",
    "GSmeLU",
    "PreActivation",
    "SmeLU",
    "Softplus",
    "Swish",
    "celu",
    "elu",
    "find",
    "frozen",
    "gelu",
    "get",
    "gsmelu",
    "join",
    "leaky_relu",
    "mish",
    "probe",
    "relu",
    "rescu",
    "selu",
    "serialize",
    "smelu",
    "softplus",
    "swish",
    "takes_beta",
    "tanhexp",
    "width_schedule",
    "with_beta",
]

register()
