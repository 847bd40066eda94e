"""Bad calls that no table derives: constructors with rules of their own, and operators that losses are made of.

A row is its own reproducer. `ones`, `numbers` and `classes` make tensors whose neighbours may not be touched.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import torch
from packaging.specifiers import SpecifierSet
from torch import nn
from torch.nn import functional

from .errors import FUNCTIONAL, ISSUES, LOSS, RELEASE, departure
from .isolated import fenced
from .outcomes import Outcome


@dataclass(frozen=True)
class Row:
    """A call, how it ends (an exception and a fragment of what it says; or `value`, or a signal), and where or why."""

    id: str
    code: str
    ends: str
    says: str
    where: str
    link: str = ""
    wrong: bool = False
    torch: str = ">=2.6"

    def applies(self) -> bool:
        """Whether it is for this release of torch."""
        return RELEASE in SpecifierSet(self.torch)

    def problem(self, got: Outcome) -> str:
        """What differs from this; empty if nothing does."""
        return departure(got, self.ends, self.says, got.stage)


def run(row: Row) -> Outcome:
    """Make the call."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            evaluate(row.code)
        except Exception as error:  # any exception is an observation
            return Outcome(type(error).__name__, " ".join(str(error).split())[:400])
    return Outcome("value")


def run_by_id(id: str) -> Outcome:
    """Make the call of the row of that id."""
    return run(next(row for row in ROWS if row.id == id))


def evaluate(code: str) -> Any:
    """The value of the code of a row, among the names that rows know."""
    return eval(code, dict(NAMES))


def _ones(*shape: int) -> torch.Tensor:
    return fenced(torch.ones(shape))


def _numbers(*values: float) -> torch.Tensor:
    return fenced(torch.tensor(values, dtype=torch.float32))


def _classes(*values: Any) -> torch.Tensor:
    return fenced(torch.tensor(values, dtype=torch.int64))


NAMES = {"torch": torch, "nn": nn, "F": functional, "aten": torch.ops.aten, "ones": _ones, "numbers": _numbers, "classes": _classes}


ADAPTIVE, LINEAR = "nn.AdaptiveLogSoftmaxWithLoss", "raised by nn.Linear"
RAISED = "raised in nn/modules/adaptive.py"
OPTIONS = "raised in nn/modules/linear_cross_entropy_options.py"
CUTOFFS = "cutoffs should be a sequence of unique, positive integers sorted in an increasing order"


def _refused(id: str, code: str, ends: str, says: str, where: str, torch: str = ">=2.6", link: int = 0) -> Row:
    return Row(id, code, ends, says, where, f"{ISSUES}{link}" if link else "", torch=torch)


def _wrong(id: str, code: str, ends: str, why: str, link: int = 0, says: str = "", torch: str = ">=2.6") -> Row:
    return Row(id, code, ends, says, why, f"{ISSUES}{link}" if link else "", True, torch)


def _adaptive(id: str, cutoffs: str, ends: str, says: str, where: str = RAISED) -> Row:
    return _refused(f"adaptive-{id}", f"{ADAPTIVE}(4, 10, {cutoffs})", ends, says, where)


def _adaptive_call(id: str, input: str, target: str, ends: str, says: str, where: str = RAISED) -> Row:
    return _refused(f"adaptive-{id}", f"{ADAPTIVE}(4, 10, [2])({input}, {target})", ends, says, where)


def _options(id: str, given: str, ends: str, says: str, torch: str = ">=2.13") -> Row:
    return _refused(f"linear_cross_entropy_options-{id}", f"nn.LinearCrossEntropyOptions({given})", ends, says, OPTIONS, torch)


ROWS: tuple[Row, ...] = (
    # -- adaptive softmax
    _adaptive("no_cutoffs", "[]", "ValueError", "cutoffs should be a sequence of length larger than 0"),
    _adaptive("decreasing_cutoffs", "[3, 2]", "ValueError", CUTOFFS),
    _adaptive("equal_cutoffs", "[2, 2]", "ValueError", CUTOFFS),
    _adaptive("zero_cutoff", "[0, 2]", "ValueError", CUTOFFS),
    _adaptive("negative_cutoff", "[-2]", "ValueError", CUTOFFS),
    _adaptive("cutoff_past_the_end", "[2, 10]", "ValueError", CUTOFFS),
    _adaptive("fractional_cutoff", "[2.5]", "ValueError", CUTOFFS),
    _adaptive("cutoff_no_sequence", "2", "TypeError", "is not iterable", "raised by Python itself"),
    _wrong("adaptive-zero_div_value", f"{ADAPTIVE}(4, 10, [2], div_value=0.0)", "ZeroDivisionError", "div_value is not checked", 114334, says="division by zero|modulo"),
    _wrong("adaptive-negative_div_value", f"{ADAPTIVE}(4, 10, [2], div_value=-1.0)", "RuntimeError", "div_value is not checked", 114334, says="negative dimension"),
    _wrong("adaptive-large_div_value", f"{ADAPTIVE}(4, 10, [2], div_value=8.0)", "value", "a tail of no width at all: its classes cannot be told apart, without a word"),
    _wrong("adaptive-div_value_below_one", f"{ADAPTIVE}(4, 10, [2], div_value=0.25)", "value", "div_value is not checked: the tail is wider than the input", 114334),
    _adaptive_call("target_past_the_end", "ones(3, 4)", "classes(0, 1, 10)", "RuntimeError", "Target values should be in [0, 9]"),
    _adaptive_call("negative_target", "ones(3, 4)", "classes(0, 1, -1)", "RuntimeError", "Target values should be in [0, 9]"),
    _adaptive_call("far_target", "ones(3, 4)", "classes(0, 1, 2**40)", "RuntimeError", "Target values should be in [0, 9]"),
    _adaptive_call("shorter_target", "ones(3, 4)", "classes(0, 1)", "RuntimeError", "Input and target should have the same size in the batch dimension"),
    _adaptive_call("wrong_features", "ones(3, 5)", "classes(0, 1, 2)", "RuntimeError", "shapes cannot be multiplied", LINEAR),
    _adaptive_call("target_2d", "ones(3, 4)", "classes([0], [1], [2])", "RuntimeError", "0D or 1D target tensor expected, multi-target not supported"),
    _adaptive_call("input_3d", "ones(2, 3, 4)", "classes(0, 1)", "RuntimeError", "1D target tensor expects 2D input tensors"),
    _adaptive_call("target_0d", "ones(2, 4)", "classes(0)[0]", "RuntimeError", "0D target tensor expects 1D input tensors"),
    _adaptive_call("float_target", "ones(3, 4)", "numbers(0, 1, 2)", "RuntimeError", "gather(): Expected dtype int", "raised by Tensor.gather"),
    _adaptive_call("no_target", "ones(3, 4)", "None", "AttributeError", "has no attribute 'dim'", "raised by Python itself"),
    # -- linear cross entropy: constructor and options
    _refused("linear_cross_entropy-negative_features", "nn.LinearCrossEntropyLoss(-4, 3)", "RuntimeError", "negative dimension", LINEAR, ">=2.13"),
    _refused(
        "linear_cross_entropy-ignore_index_with_probabilities",
        "nn.LinearCrossEntropyLoss(4, 3, ignore_index=1)(ones(2, 4), ones(2, 3))",
        "RuntimeError",
        "ignore_index cannot be specified when target contains probabilities",
        FUNCTIONAL,
        ">=2.13",
    ),
    _options("no_rows", "batch_chunk_size=0", "ValueError", "batch_chunk_size must be positive int or None"),
    _options("negative_rows", "batch_chunk_size=-1", "ValueError", "batch_chunk_size must be positive int or None"),
    _options("fractional_rows", "batch_chunk_size=1.5", "ValueError", "batch_chunk_size must be positive int or None"),
    _options("unknown_method", "chunking_method='halves'", "ValueError", "invalid chunking_method"),
    _options("zero_ratio", "chunking_method='aspect_ratio:0'", "ValueError", "invalid chunking_method"),
    _options("unknown_policy", "acc_policy='exact'", "ValueError", "invalid acc_policy"),
    _options("former_policy", "acc_policy='balanced'", "ValueError", "invalid acc_policy", ">=2.14"),
    _wrong(
        "linear_cross_entropy-integer_weight_in_half_precision",
        "F.linear_cross_entropy(ones(2, 4).bfloat16(), ones(3, 4).long(), classes(0, 1), options=nn.LinearCrossEntropyOptions())",
        "value",
        "a chunk is converted to float32, weight and all; without options, and in float32, an integer weight is refused",
        torch=">=2.13",
    ),
    _wrong(
        "linear_cross_entropy-options_of_another_type",
        "F.linear_cross_entropy(ones(2, 4), ones(3, 4), classes(0, 1), options='fast')",
        "AttributeError",
        "the type of options is not checked",
        says="object has no attribute '_adjust'",
        torch=">=2.13",
    ),
    # -- cross entropy
    _refused("cross_entropy-ignore_index_with_probabilities", "F.cross_entropy(ones(2, 3), ones(2, 3), ignore_index=1)", "RuntimeError", "ignore_index is not supported for floating point target", "raised in ATen/native/LossNLL.cpp"),
    _refused("cross_entropy-smoothing_of_probabilities_above_one", "F.cross_entropy(ones(2, 3), ones(2, 3), label_smoothing=1.5)", "RuntimeError", "label_smoothing must be between 0.0 and 1.0", "raised in ATen/native/LossNLL.cpp"),
    _wrong("cross_entropy-negative_ignore_index_with_probabilities", "F.cross_entropy(ones(2, 3), ones(2, 3), ignore_index=-1)", "value", "documented as applicable to class indices only, and refused only from 0 on"),
    _refused("cross_entropy-no_classes", "F.cross_entropy(ones(2, 0), classes(0, 0))", "IndexError", "is out of bounds", "raised in ATen/native/LossNLL.cpp"),
    # -- margins without classes
    _refused("multi_margin-no_classes", "F.multi_margin_loss(ones(2, 0), classes(0, 0))", "RuntimeError", "Expected non-empty vector or matrix", "raised in ATen/native/LossMulti.h"),
    _refused("multilabel_margin-no_classes", "F.multilabel_margin_loss(ones(0), classes())", "RuntimeError", "Expected non-empty vector or matrix", "raised in ATen/native/LossMulti.h"),
    # -- Gaussian: var as a number
    _refused("gaussian_nll-negative_number", "F.gaussian_nll_loss(ones(2), ones(2), -1.0)", "ValueError", "var has negative entry/entries", FUNCTIONAL, ">=2.10"),
    _wrong("gaussian_nll-two_axes_of_one", "F.gaussian_nll_loss(ones(2, 3, 4, 5), ones(2, 3, 4, 5), ones(2, 3, 1, 1))", "ValueError", "the sizes of the axes that differ are added up, and have to be 1: of a var that broadcasts in two axes it is 2", 176244, says="var is of incorrect size"),
    _wrong("gaussian_nll-whole_number", "F.gaussian_nll_loss(ones(2), ones(2), 1)", "TypeError", "documented as Tensor or float, and an int is no float", 149131, says="any() received an invalid combination"),
    # -- Kullback-Leibler
    _wrong("kl_div-nothing_of_integers", "F.kl_div(ones(0, 1), classes())", "value", "an empty target of another dtype passes, and gives NaN", 51910, torch="<2.6"),
    # -- triplets
    _refused("triplet_with_distance-no_function", "F.triplet_margin_with_distance_loss(ones(2, 3), ones(2, 3), ones(2, 3), distance_function='l2')", "TypeError", "object is not callable", "raised by Python itself"),
    _refused("triplet_with_distance-no_function_in_module", "nn.TripletMarginWithDistanceLoss(distance_function=1)(ones(2, 3), ones(2, 3), ones(2, 3))", "TypeError", "object is not callable", "raised by Python itself"),
    # -- CTC: lengths as tuples, and sums of lengths
    _refused("ctc-too_long_tuple", "F.ctc_loss(ones(3, 1, 4), classes([1, 2]), (4,), (2,))", "RuntimeError", "Expected input_lengths to have value at most", "raised in ATen/native/LossCTC.cpp"),
    _refused("ctc-target_longer_than_targets", "F.ctc_loss(ones(3, 1, 4), classes([1, 2]), (3,), (3,))", "RuntimeError", "Expected tensor to have size at least 3 at dimension 1", "raised in ATen/native/LossCTC.cpp"),
    _refused("ctc-lengths_overflow", "F.ctc_loss(ones(3, 2, 4), classes(1, 2, 3, 1), (3, 3), (2**62, 2**62))", "RuntimeError", "Expected tensor to have size", "raised in ATen/native/LossCTC.cpp"),
    _refused("ctc-lengths_that_cancel", "F.ctc_loss(ones(3, 2, 4), classes(1, 2, 3, 1), (3, 3), (-2, 6))", "RuntimeError", "Expected target_lengths to have value at least", "raised in ATen/native/LossCTC.cpp", ">=2.6"),
    _refused("ctc-no_frames", "F.ctc_loss(ones(0, 1, 4), classes([1, 2]), (0,), (2,))", "RuntimeError", "log_probs tensor must not be empty|exceeds dimension size (0)", "raised in ATen/native/LossCTC.cpp"),
    _wrong("ctc-backward_of_unchecked_labels", "F.ctc_loss(ones(5, 6).requires_grad_(), classes([3, 5, 6, 7]), classes(5), classes(4)).backward()", "SIGSEGV", "labels are not checked: they index log_probs and its gradient", 193794),
    # -- the operators of the backward passes, called on their own
    _wrong("multi_margin_backward-empty_gradient", "aten.multi_margin_loss_backward(numbers(), ones(1), classes(0), 2, 1.0, None, 0)", "SIGSEGV", "the size of grad_output is not checked", 146790),
    _wrong("multilabel_margin_backward-empty_gradient", "aten.multilabel_margin_loss_backward(numbers(), ones(2, 3), classes([0, 1, 2], [0, 1, 2]), 1, ones(2, 3))", "SIGSEGV", "the size of grad_output is not checked", 195547),
    _wrong("nll_backward-far_target", "aten.nll_loss_backward(ones(2), ones(2, 3), classes(0, 2**40), None, 0, -100, numbers(2)[0])", "SIGSEGV", "without a reduction, backward does not check the classes", 195547),
    _wrong("nll2d_backward-far_target", "aten.nll_loss2d_backward(ones(1, 1, 1), ones(1, 1, 1, 1), classes([[2**40]]), None, 0, -100, numbers(1)[0])", "SIGSEGV", "without a reduction, backward does not check the classes", 194802),
    _refused("nll2d_backward-far_target_reduced", "aten.nll_loss2d_backward(numbers(1)[0], ones(1, 1, 1, 1), classes([[2**40]]), None, 1, -100, numbers(1)[0])", "IndexError", "is out of bounds", "raised in ATen/native/LossNLL2d.cpp"),
    _wrong("ctc_backward-short_gradient", "aten._ctc_loss_backward(ones(1), ones(5, 2, 6), classes([1, 2], [1, 2]), [5, 5], [2, 2], ones(2), ones(2, 5, 5), 0, False)", "SIGSEGV", "the size of grad is not checked", 195547),
    _wrong("ctc_backward-short_likelihood", "aten._ctc_loss_backward(ones(2), ones(5, 2, 6), classes([1, 2], [1, 2]), [5, 5], [2, 2], ones(1), ones(2, 5, 5), 0, False)", "SIGSEGV", "the size of neg_log_likelihood is not checked", 195547),
    _wrong("ctc_backward-small_alpha", "aten._ctc_loss_backward(ones(2), ones(5, 2, 6), classes([1, 2], [1, 2]), [5, 5], [2, 2], ones(2), ones(1, 1, 1), 0, False)", "SIGSEGV", "the size of log_alpha is not checked", 195547),
    _refused("nll_backward-short_gradient", "aten.nll_loss_backward(ones(1), ones(2, 3), classes(0, 1), None, 0, -100, numbers(2)[0])", "RuntimeError", "Expected a tensor of dimension 1 and tensor.size[0] == 2", "raised in ATen/native/LossNLL.cpp"),
    _refused("multi_margin_backward-short_weight", "aten.multi_margin_loss_backward(ones(2), ones(2, 3), classes(0, 1), 1, 1.0, ones(1), 0)", "RuntimeError", "inconsistent weight size", "raised in ATen/native/LossMulti.h"),
    _refused("multilabel_margin_backward-is_target", "aten.multilabel_margin_loss_backward(ones(2), ones(2, 3), classes([0, 1, 2], [0, 1, 2]), 0, ones(1, 3))", "RuntimeError", "to have same size as tensor", "raised in ATen/native/LossMultiLabelMargin.cpp"),
    _wrong("nll_backward-more_targets", "aten.nll_loss_backward(ones(1), ones(3), classes(2, 0, 0), None, 0, -100, numbers(3)[0])", "value", "whether sizes agree is not asked of a row without a batch: two of three targets are left out", 89630),
    _wrong("log_softmax_backward-smaller_output", "aten._log_softmax_backward_data(ones(1, 2048), ones(1, 1), 1, torch.float32)", "SIGSEGV", "the size of output is not checked", 194799),
    _wrong("ctc-labels_changed_before_backward", "[loss := F.ctc_loss(ones(50, 15).requires_grad_(), labels := classes(1), (50,), (1,)), labels.data.fill_(2**31 - 1), loss.backward()]", "SIGSEGV", "backward trusts that the labels are those of forward", 192454),
    # -- a reduction that there is not
    *(
        _wrong(f"{name}-unknown_reduction", f"aten.{call}", "RuntimeError", "an internal assertion, where the argument is wrong", link, says="INTERNAL ASSERT FAILED")
        for name, call, link in (
            ("mse", "mse_loss(ones(2), ones(2), 7)", 117254),
            ("smooth_l1", "smooth_l1_loss(ones(2), ones(2), 7, 1.0)", 117246),
        )
    ),
    *(
        _wrong(f"{name}-unknown_reduction", f"aten.{call}", "value", "a reduction that there is not counts as none, or as a sum")
        for name, call in (
            ("binary_cross_entropy", "binary_cross_entropy(ones(2), ones(2), None, 7)"),
            ("binary_cross_entropy_with_logits", "binary_cross_entropy_with_logits(ones(2), ones(2), None, None, 7)"),
            ("huber", "huber_loss(ones(2), ones(2), 7, 1.0)"),
            ("soft_margin", "soft_margin_loss(ones(2), ones(2), 7)"),
            ("multi_margin", "multi_margin_loss(ones(2, 3), classes(0, 1), 1, 1.0, None, 7)"),
            ("multilabel_margin", "multilabel_margin_loss(ones(2, 3), classes([0, 1, 2], [0, 1, 2]), 7)"),
            ("nll", "nll_loss(ones(2, 3), classes(0, 1), None, 7)"),
            ("kl_div", "kl_div(ones(2), ones(2), 7)"),
            ("poisson_nll", "poisson_nll_loss(ones(2), ones(2), True, False, 1e-8, 7)"),
            ("hinge_embedding", "hinge_embedding_loss(ones(2), ones(2), 1.0, 7)"),
            ("margin_ranking", "margin_ranking_loss(ones(2), ones(2), ones(2), 0.0, 7)"),
            ("cosine_embedding", "cosine_embedding_loss(ones(2, 3), ones(2, 3), ones(2), 0.0, 7)"),
            ("triplet_margin", "triplet_margin_loss(ones(2, 3), ones(2, 3), ones(2, 3), 1.0, 2.0, 1e-6, False, 7)"),
            ("ctc", "ctc_loss(ones(3, 1, 4), classes([1]), (3,), (1,), 0, 7)"),
            ("l1", "l1_loss(ones(2), ones(2), 7)"),
            ("cross_entropy", "cross_entropy_loss(ones(2, 3), classes(0, 1), None, 7)"),
        )
    ),
    # -- mixed precision that only backward refuses
    _wrong("huber-mixed_floats", "F.huber_loss(ones(3).double().requires_grad_(), ones(3)).backward()", "RuntimeError", "forward promotes, backward does not", 76646, says="Found dtype Float but expected Double"),
    _refused("binary_cross_entropy-mixed_floats", "F.binary_cross_entropy(ones(3).double(), ones(3))", "RuntimeError", "Found dtype Float but expected Double", LOSS, link=72824),
    _refused("cross_entropy-mixed_weight", "F.cross_entropy(ones(2, 3).double(), classes(0, 1), weight=ones(3))", "RuntimeError", "expected scalar type Double but found Float", "raised in ATen/native/LossNLL.cpp"),
)
