"""Shannon's quantities, which the losses are built of: information, entropy, divergence, cross entropy.

    cross_entropy_of(p, q) = entropy(p) + kl_divergence(p, q)

So to minimise the cross entropy of a fixed p over q is to minimise the divergence of q from it: it is smallest,
and equal to the entropy, at q = p. Two limits hold throughout: 0 log 0 = 0, and p log(p / 0) = inf for p > 0.
The partial derivatives treat each probability as free: none is made to restore the sum to 1.

Logarithms are natural, and the unit is the nat; `base` 2 gives bits, 10 hartleys.
"""

from __future__ import annotations

import numpy as np

from .arithmetic import FloatArray, divide, log, number, times
from .check import between, floating, refuse, require, same_shape
from .loss import Loss, loss, replace


@loss(default="none")
def information(p: FloatArray, *, base: float | None = None) -> Loss:
    """How much is learnt when an event of probability p happens: nothing if it was certain.

    value = -log p

    Shapes: p (*), each element a probability; value (*).
    Mean:   the sum divided by the number of elements.
    Raises: ValueError if p is outside [0, 1], or base is not above 1.
    Kinks:  none; inf at p = 0.
    Source: Shannon (1948), doi:10.1002/j.1538-7305.1948.tb01338.x; Cover and Thomas (2006), chapter 2.
    """
    floating(p=p)
    between("p", p, 0, 1)
    return _in_base(base, Loss(-log(p), {"p": -divide(number(1, p), p, zero=np.inf)}))


@loss(default="none")
def entropy(p: FloatArray, *, base: float | None = None) -> Loss:
    """The information that is learnt on average from one draw of p: 0 if certain, log n if uniform over n.

    value = -sum_i p[i] * log p[i]

    Shapes: p (*, n), each row a distribution; value (*).
    Mean:   the sum divided by the number of rows.
    Raises: ValueError if p is outside [0, 1] or does not sum to 1, or base is not above 1.
    Kinks:  p[i] = 0, where the value is finite and its derivative inf.
    Source: Shannon (1948), doi:10.1002/j.1538-7305.1948.tb01338.x; Cover and Thomas (2006), section 2.1.
    """
    _distributions(p=p)
    return _in_base(base, Loss(-times(p, log(p)).sum(-1), {"p": -(log(p) + 1)}, sizes={"p": abs(log(p)) + 1}))


@loss(default="none")
def kl_divergence(p: FloatArray, q: FloatArray, *, base: float | None = None) -> Loss:
    """What it costs, beyond the entropy, to take q for the distribution when it is p: 0 only if they are equal.

    value = sum_i p[i] * log(p[i] / q[i])

    Shapes: p (*, n) and q the same, each row a distribution; value (*).
    Mean:   the sum divided by the number of rows.
    Raises: ValueError if p or q is outside [0, 1] or does not sum to 1, or base is not above 1.
    Kinks:  p[i] = 0, where the value is finite and its derivative in p[i] -inf (NaN where q[i] = 0 too).
    Source: Kullback and Leibler (1951), doi:10.1214/aoms/1177729694; Cover and Thomas (2006), section 2.3.
    """
    _distributions(p=p, q=q)
    own, other = times(p, log(p)), times(p, log(q))
    partials = {"p": log(p) - log(q) + 1, "q": _slope(p, q)}
    magnitude, sizes = (abs(own) + abs(other)).sum(-1), {"p": abs(log(p)) + abs(log(q)) + 1}
    return _in_base(base, Loss((own - other).sum(-1), partials, magnitude=magnitude, sizes=sizes))


@loss(default="none")
def cross_entropy_of(p: FloatArray, q: FloatArray, *, base: float | None = None) -> Loss:
    """The information that q assigns, on average, to one draw of p; as a loss, `cross_entropy` takes q's logits.

    value = -sum_i p[i] * log q[i]

    Shapes: p (*, n) and q the same, each row a distribution; value (*).
    Mean:   the sum divided by the number of rows.
    Raises: ValueError if p or q is outside [0, 1] or does not sum to 1, or base is not above 1.
    Kinks:  none; inf where q[i] = 0 and p[i] > 0.
    Source: Shannon (1948), doi:10.1002/j.1538-7305.1948.tb01338.x; Cover and Thomas (2006), section 5.4.
    """
    _distributions(p=p, q=q)
    return _in_base(base, Loss(-times(p, log(q)).sum(-1), {"p": -log(q), "q": _slope(p, q)}))


def _slope(p: FloatArray, q: FloatArray) -> FloatArray:
    """Of -p log q in q: where p is 0 the term is 0 for every q, and so is its slope."""
    return -np.where(p == 0, number(0, p), divide(p, q, zero=np.inf))


def _distributions(**arrays: FloatArray) -> None:
    """Rows of probabilities that sum to 1, to the rounding of each to float32, in which they often arrive."""
    floating(**arrays)
    same_shape(**arrays)
    for name, array in arrays.items():
        require(array.ndim > 0, name, "of shape ()", "at least 1 axis")
        between(name, array, 0, 1)
        total = array.sum(-1)
        off = abs(total - 1) > 2.0**-24 * array.shape[-1]
        if np.any(off):
            refuse(name, f"{np.asarray(total)[off].flat[0]} in sum", "probabilities that sum to 1 over the last axis")


def _in_base(base: float | None, found: Loss) -> Loss:
    """From nats to the unit of another logarithm."""
    if base is None:
        return found
    require(base > 1, "base", repr(base), "more than 1, or None for nats")
    nats = log(number(base, found.value))
    size = None if found.magnitude is None else found.magnitude / nats
    partials, sizes = ({name: a / nats for name, a in given.items()} for given in (found.partials, found.sizes))
    return replace(found, value=found.value / nats, partials=partials, sizes=sizes, magnitude=size)
