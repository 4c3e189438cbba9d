"""The activation family: functions of tensors, layers, and strings that Keras knows once this is imported."""

from smooth_recs.activations.functions import DEFAULT_BETA, gelu, gsmelu, rescu, smelu, softplus, swish
from smooth_recs.activations.layers import GELU, GSmeLU, SmeLU, Softplus, Swish
from smooth_recs.activations.others import celu, elu, leaky_relu, mish, relu, selu, tanhexp
from smooth_recs.activations.registration import get, register, takes_beta, with_beta

register()
