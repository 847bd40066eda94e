"""Is the gradient right? In every argument that torch differentiates, for a random cotangent."""

import torch

from .judge import Judge
from .subject import ADAPTERS, array, call_function, differentiable, tensor, tensors


def test_gradient(case, subject, judge: Judge) -> None:
    """The vector-Jacobian product with a random cotangent is the definition's, argument by argument."""
    names = differentiable(case.row, case.truth.drawn)
    given = tensors(case.truth.drawn, case.format, case.device, differentiable=names)
    value = call_function(subject, case.row, case.variant, given, case.reduction)
    cotangent = case.cotangent(tuple(value.shape))
    value.backward(tensor(cotangent, case.format, case.device))
    wide = cotangent.astype(case.truth.loss.value.dtype)
    judge.value(case, array(value))  # the path that records a graph
    found = {}
    for name in names:
        got = given[name].grad
        if got is None and case.row.function in ADAPTERS:
            got = torch.zeros_like(given[name])  # a tail that no row of the batch uses takes no part in the graph
        assert got is not None, f"{case.id}: no gradient reached {name}"
        assert got.dtype == given[name].dtype, f"{case.id}: the gradient of {name} has dtype {got.dtype}"
        found[name] = array(got)
    judge.gradients(case, found, wide)
