"""Derivatives that torch is known to lack, or to compute otherwise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from reference.accuracy import Budget, K
from reference.formats import FORMATS

from .curvature import Curvature
from .habits import Habit

ALL = ("double_backward", "forward*", "reverse*", "jacobian_by_columns", "full_hessian")


def _cases(losses: str, *transforms: str) -> tuple[str, ...]:
    return tuple(f"{losses}-*-{transform}" for transform in transforms)


def _relative(size: Callable[[Curvature], float], format: str = "float64") -> Callable[[Curvature, str, Budget], Budget]:
    """The budget, which is K roundings of each term that is added up, and besides it so much of each: they may cancel."""

    def allows(point: Curvature, quantity: str, budget: Budget) -> Budget:
        return replace(budget, allowed=budget.allowed * (1 + size(point) / (K * FORMATS[format].u)))

    return allows


def _nearest_end(point: Curvature) -> float:
    """Twice 1e-12 / p (1 - p), as its square is divided by; for the closest to 0 or 1."""
    p = point.drawn.arguments["input"]
    return 2e-12 / float(np.min(p * (1 - p)))


def _shortest(point: Curvature) -> float:
    """Of the powers -1/2 and -5/2 of the squared lengths that meet in a second derivative; for the shortest."""
    return 3e-12 / min(float(np.min((point.drawn.arguments[name] ** 2).sum(-1))) for name in ("input1", "input2"))


DERIVATIVES: tuple[Habit, ...] = (
    *(
        Habit(
            f"{function}_once",
            _cases(loss, *ALL),
            "refuses",
            f"{function} is a kernel with a formula for its backward pass, and none for the derivative of that or for forward mode",
            says=function,
        )
        for loss, function in (("MultiMarginLoss", "multi_margin_loss"), ("MultiLabelMarginLoss", "multilabel_margin_loss"))
    ),
    *(
        Habit(
            f"{function}_backward_forward",
            _cases(loss, *transforms),
            "refuses",
            f"{function}_backward has no formula for forward mode; reverse over reverse works",
            says=f"Trying to use forward AD with {function}_backward that does not support it",
        )
        for loss, function, transforms in (
            ("HuberLoss", "huber_loss", ("forward_over_reverse", "forward_over_reverse_input", "forward_over_reverse_target")),  # under vmap it is decomposed, and full_hessian works
            ("SoftMarginLoss", "soft_margin_loss", ("forward_over_reverse*", "full_hessian")),
        )
    ),
    Habit(
        "mse_mean_of_one_tangent",
        _cases("MSELoss-*-mean-*", "forward_over_reverse_*"),
        "refuses",
        "the formula of mse_loss_backward for forward mode adds to the tangents of its arguments in place, and divides them "
        "for the mean: where only one has a tangent the other's is a ZeroTensor. Those with weights are not this operator",
        says="ZeroTensors are immutable",
        link="https://github.com/pytorch/pytorch/issues/123996",
        but=("MSELoss-*weight*",),
    ),
    *(
        Habit(
            f"{function}_spoils_what_it_keeps",
            tuple(f"{loss}-*-reverse_over_dual" for loss in losses),
            "refuses",
            f"the formula of {function} for forward mode multiplies in place what is needed to go back through it; under torch.func it does not",
            says=f"which is output 0 of {kept}",
            link=link,
        )
        for function, losses, kept, link in (
            ("log_softmax", ("*CrossEntropyLoss", "AdaptiveLogSoftmaxWithLoss"), "Exp", "https://github.com/pytorch/pytorch/issues/162350"),
            ("linalg_vector_norm", ("TripletMarginLoss-*_p.1.0*",), "Sgn", ""),
        )
    ),
    *(
        Habit(
            f"adaptive_cluster_of_one_row_{says.split()[-1]}",
            _cases("AdaptiveLogSoftmaxWithLoss-batch*", *transforms),
            "refuses",
            "the one row of a cluster is picked by an index without axes, for which the batching rule of index_select "
            "gives as many rows as the input has: vmap(lambda x: x.index_select(0, torch.tensor(1)))(torch.ones(3, 3))",
            says=says,
            link="https://github.com/pytorch/pytorch/issues/115347",
        )
        for says, *transforms in (
            ("The expanded size of the tensor", "jacobian_by_rows"),
            ("Trying to set a forward gradient that has a different size", "jacobian_by_columns", "full_hessian"),
        )
    ),
    Habit(
        "ctc_loss_once",
        _cases("CTCLoss", "double_backward", "reverse"),
        "refuses",
        "_ctc_loss_backward is a kernel without a derivative of its own",
        says="derivative for aten::_ctc_loss_backward is not implemented",
        link="https://github.com/pytorch/pytorch/issues/70108",
    ),
    Habit(
        "ctc_loss_forward",
        _cases("CTCLoss", "forward*", "reverse_over_*", "jacobian_by_columns", "full_hessian"),
        "refuses",
        "_ctc_loss has no formula for forward mode",
        says="Trying to use forward AD with _ctc_loss that does not support it",
    ),
    Habit(
        "ctc_gradient_before_softmax",
        _cases("CTCLoss", "jacobian_by_rows"),
        "wrong",
        "backward gives the gradient in the logits of a log_softmax, which is not that in log_probs",
        says=": tangent ",
        link="https://github.com/pytorch/pytorch/issues/181534",
    ),
    Habit(
        "gaussian_nll_clamp_in_forward_mode",
        _cases("GaussianNLLLoss-*eps.0.3*", "forward", "forward_over_reverse", "forward*_var", "reverse_over_*", "full_hessian", "jacobian_by_columns"),
        "wrong",
        "var is clamped under no_grad, which hides the clamp from backward and not from forward mode: the tangent of a "
        "clamped variance is dropped, where backward, as documented, lets its gradient through",
        link="https://github.com/pytorch/pytorch/issues/78961",
    ),
    *(
        Habit(
            f"bce_second_order_eps_in_{format}",
            _cases(f"BCELoss-*-{format}", *ALL),
            "inaccurate",
            "the derivatives of binary_cross_entropy_backward divide by p (1 - p) + 1e-12, where the first order takes the "
            "larger of the two: a relative error of 1e-12 / p (1 - p) for every p, which float32 shows from p = 1e-6 on",
            allows=_relative(_nearest_end, format),
            sometimes=format == "float32",
        )
        for format in ("float64", "float32")
    ),
    Habit(
        "cosine_eps",
        _cases("CosineEmbeddingLoss-*-float64", *ALL, "jacobian_by_rows"),
        "inaccurate",
        "the cosine is <x, y> / sqrt((|x|^2 + 1e-12) (|y|^2 + 1e-12))",
        allows=_relative(_shortest),
    ),
)

CHECKED: tuple[Habit, ...] = (
    *(
        Habit(
            f"{function}_has_one_derivative",
            (f"{loss}-*-order2", f"{loss}-*-order3"),
            "refuses",
            "the backward pass is an operator without a derivative",
            says=f"{function}_backward is not implemented",
        )
        for loss, function in (("MultiMarginLoss", "multi_margin_loss"), ("MultiLabelMarginLoss", "multilabel_margin_loss"), ("CTCLoss", "ctc_loss"))
    ),
    Habit(
        "clamped_variance_has_a_derivative",
        ("GaussianNLLLoss-*eps.0.3*",),
        "wrong",
        "documented: the clamping of var is ignored with respect to autograd. Differences see it, where a variance is below eps",
        sometimes=True,
    ),
)
