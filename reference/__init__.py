"""The losses of torch.nn, defined in NumPy: values and gradients, independent of torch.

>>> import reference
>>> found = reference.mse_loss([1.5, 2.0, 3.2], [1.0, 2.5, 2.8], reduction="sum")
>>> float(found.value), found.gradients["input"]
(0.6600000000000003, array([ 1. , -1. ,  0.8]))
"""

from .adaptive import adaptive_log_softmax_with_loss
from .binary import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    multilabel_soft_margin_loss,
    sigmoid_focal_loss,
    soft_margin_loss,
)
from .categorical import cross_entropy, linear_cross_entropy, nll_loss
from .ctc import ctc_loss
from .information import cross_entropy_of, entropy, information, kl_divergence
from .likelihood import gaussian_nll_loss, kl_div, poisson_nll_loss
from .loss import Loss, Result
from .margin import hinge_embedding_loss, margin_ranking_loss, multi_margin_loss, multilabel_margin_loss
from .metric import (
    cosine_embedding_loss,
    pairwise_distance,
    triplet_margin_loss,
    triplet_margin_with_distance_loss,
)
from .regression import huber_loss, l1_loss, mse_loss, smooth_l1_loss

__all__ = [
    "Loss",
    "Result",
    "adaptive_log_softmax_with_loss",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cosine_embedding_loss",
    "cross_entropy",
    "cross_entropy_of",
    "ctc_loss",
    "entropy",
    "gaussian_nll_loss",
    "hinge_embedding_loss",
    "huber_loss",
    "information",
    "kl_div",
    "kl_divergence",
    "l1_loss",
    "linear_cross_entropy",
    "margin_ranking_loss",
    "mse_loss",
    "multi_margin_loss",
    "multilabel_margin_loss",
    "multilabel_soft_margin_loss",
    "nll_loss",
    "pairwise_distance",
    "poisson_nll_loss",
    "sigmoid_focal_loss",
    "smooth_l1_loss",
    "soft_margin_loss",
    "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
]
