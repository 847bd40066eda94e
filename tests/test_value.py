"""Is the value right? The function and the module, against the specification and against each other."""

import torch

from .accelerator_habits import repeats
from .judge import Judge
from .subject import array, call_function, call_module, has_module, tensors


def test_value(case, subject, judge: Judge) -> None:
    """The loss is what its definition says, within the budget, and its arguments are left alone."""
    given = tensors(case.truth.drawn, case.format, case.device)
    got = call_function(subject, case.row, case.variant, given, case.reduction)
    assert not (written := [name for name, t in given.items() if t._version]), f"{case.id}: {written} are written to"
    assert got.dtype == getattr(torch, case.format.name), f"{case.id}: the result has dtype {got.dtype}"
    judge.value(case, array(got))
    if subject is torch.nn.functional and has_module(case.row, given):
        module = call_module(case.row, case.variant, given, case.reduction)
        same = torch.equal(_bits(module), _bits(got))
        assert same or judge.is_noise(case, "value") or not repeats(case.id), f"{case.id}: the module gives {module}, the function {got}"


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    integer = {8: torch.int64, 4: torch.int32, 2: torch.int16}[tensor.element_size()]
    return tensor.detach().contiguous().view(integer)
