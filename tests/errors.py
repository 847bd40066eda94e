"""How torch answers a bad call: what it refuses, and in which words; and what it takes that it should not.

The first rule that matches a call says how the call has to end. Patterns are words: losses without their
"Loss", arguments, faults (tests/bad_calls.py). Every rule has to match something, and every call a rule.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

import torch
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from .outcomes import CHUNKED, MODULE, Attempt, Outcome

RELEASE = Version(Version(torch.__version__).base_version)
ISSUES = "https://github.com/pytorch/pytorch/issues/"


@dataclass(frozen=True)
class Rule:
    """How the calls that match the patterns end.

    ends:  the exception; or the kind of the value (number, nan, inf, complex); or a signal
    says:  a fragment of the message that does not change with the numbers in it, or one per release, with "|" between
    where: where it is raised or documented; for what is not refused, why that is right, or what goes wrong
    link:  the report of it
    wrong: whether torch should not end so
    stage: construction (of the module), call or backward
    """

    losses: str
    arguments: str
    faults: str
    ends: str
    says: str
    where: str
    link: str = ""
    wrong: bool = False
    stage: str = "call"
    forms: str = "*"
    spelling: str = "*"
    reductions: str = "*"
    torch: str = ">=2.6"

    @property
    def name(self) -> str:
        """Loss, argument and fault, the first of each."""
        return ".".join(p.split()[0].replace("*", "any") for p in (self.losses, self.arguments, self.faults))

    def about(self, loss: str) -> bool:
        """Whether it is about this loss, in this release of torch."""
        return _now(self.torch) and _among(loss.removesuffix("Loss"), self.losses)

    def matches(self, attempt: Attempt) -> bool:
        """Whether it is for this call of a loss that it is about."""
        bad = attempt.bad
        return (
            _among(bad.argument, self.arguments)
            and _among(bad.fault, self.faults)
            and _among(attempt.spelling, self.spelling)
            and _among(bad.good.form, self.forms)
            and _among(attempt.reduction, self.reductions)
        )

    def problem(self, got: Outcome) -> str:
        """What differs from this; empty if nothing does."""
        return departure(got, self.ends, self.says, self.stage if self.says else got.stage)

    def __str__(self) -> str:
        return f"{self.losses} / {self.arguments} / {self.faults} -> {self.ends} ({self.where})"


def departure(got: Outcome, ends: str, says: str, stage: str) -> str:
    """How an ending differs from the one expected, as a sentence; empty if it does not."""
    if got.what in ends.split("|") and got.stage == stage and any(fragment in got.text for fragment in says.split("|")):
        return ""
    return f"has to end in {ends}{says and f' that says {says!r}'} (in {stage}), and ended in {got}"


@cache
def _now(releases: str) -> bool:
    return RELEASE in SpecifierSet(releases)


@cache
def _among(name: str, patterns: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns.split())


@cache
def _about(loss: str) -> tuple[Rule, ...]:
    return tuple(rule for rule in RULES if rule.about(loss))


def rule_for(attempt: Attempt) -> Rule | None:
    """The first that matches."""
    return next((rule for rule in _about(attempt.bad.good.loss) if rule.matches(attempt)), None)


# -- where --------------------------------------------------------------------------------------------------------

FUNCTIONAL, REDUCTION, MODULES = "raised in nn/functional.py", "raised in nn/_reduction.py", "raised in nn/modules/loss.py"
PARSER, BUFFER, PYTHON = "raised by the argument parser", "raised by Module.register_buffer", "raised by Python itself"
BROADCAST, DISPATCH = "raised by broadcasting", "raised by type dispatch or promotion"
LOSS, NLL, CTC, MULTI = (f"raised in ATen/native/{f}" for f in ("Loss.cpp", "LossNLL.cpp", "LossCTC.cpp", "LossMulti.h"))
PROMOTED = "allowed: the documentation names no dtype, and the result is that of type promotion"


def refused(losses: str, arguments: str, faults: str, ends: type[Exception] | str, says: str, where: str, **more: Any) -> Rule:
    """A call that ends in an exception, as it should."""
    return Rule(losses, arguments, faults, ends if isinstance(ends, str) else ends.__name__, says, where, **more)


def allowed(losses: str, arguments: str, faults: str, ends: str, why: str, **more: Any) -> Rule:
    """A call that the specification refuses and torch, rightly, does not."""
    return Rule(losses, arguments, faults, ends, "", why, **more)


def wrong(losses: str, arguments: str, faults: str, ends: str, why: str, link: int = 0, says: str = "", **more: Any) -> Rule:
    """A divergence: a call that torch should refuse, or refuse otherwise, and how it ends today."""
    return Rule(losses, arguments, faults, ends, says, why, f"{ISSUES}{link}" if link else "", True, **more)


SHAPE = "axis* extra_axis missing_axis"
BROADCASTS = "SoftMargin HingeEmbedding PoissonNLL KLDiv"
NOT_IMPLEMENTED = "NotImplementedError|RuntimeError"  # the former since 2.7
CLASSES = "NLL CrossEntropy LinearCrossEntropy"
TRIPLETS = "TripletMargin TripletMarginWithDistance"

_CHUNKS = "a kernel that is handed what nobody checked"
_MIXED = "tensors on meta and on another device mix, and the numbers come from nowhere"
_UNSEEN = "the chunks are counted on input: rows of target beyond them are never seen"

# Linear cross entropy in chunks (its `options`) has its own path, and few checks on it.
CHUNKED_RULES = (
    wrong("LinearCrossEntropy", "linear_weight target weight", "other_device", "RuntimeError", _MIXED, says="cross-device copies are not allowed|is not on the expected device", stage="backward", forms="batch unbatched", reductions="none"),
    wrong("LinearCrossEntropy", "linear_weight linear_bias target weight", "other_device", "number|nan|inf", _MIXED, forms="batch unbatched"),
    wrong("LinearCrossEntropy", "input", "other_device", "RuntimeError", _MIXED, says="is not on the expected device", stage="backward", forms="batch unbatched", reductions="none"),
    wrong("LinearCrossEntropy", "input", "other_device", "meta", _MIXED, forms="batch unbatched"),
    refused("LinearCrossEntropy", "input", "integer boolean complex", ValueError, "acc_dtype must be one of", "raised in nn/functional.py"),
    refused("LinearCrossEntropy", "target", "past_the_end negative far far_negative", RuntimeError, "is out of bounds for dimension 1", "raised by Tensor.gather", forms="batch unbatched"),
    refused("LinearCrossEntropy", "linear_weight", "axis0.shorter axis0.one", RuntimeError, "is out of bounds for dimension 1", "raised by Tensor.gather", forms="batch unbatched"),
    refused("LinearCrossEntropy", "input", "axis0.longer", RuntimeError, "exceeds dimension size", _CHUNKS, forms="batch"),
    refused("LinearCrossEntropy", "target", "axis0.shorter axis0.one", RuntimeError, "exceeds dimension size", _CHUNKS, forms="batch"),
    wrong("LinearCrossEntropy", "input", "axis0.shorter", "RuntimeError", _UNSEEN, says="must match the size of tensor", stage="backward", forms="batch", reductions="none"),
    wrong("LinearCrossEntropy", "target", "axis0.longer", "RuntimeError", _UNSEEN, says="must match the size of tensor", stage="backward", forms="batch", reductions="none"),
    wrong("LinearCrossEntropy", "input", "axis0.shorter axis0.one", "number", _UNSEEN, forms="batch"),
    wrong("LinearCrossEntropy", "target", "axis0.longer", "number", _UNSEEN, forms="batch"),
    refused("LinearCrossEntropy", "target", "missing_axis", RuntimeError, "narrow() cannot be applied to a 0-dim tensor", _CHUNKS, forms="batch"),
    refused("LinearCrossEntropy", "input", "missing_axis", RuntimeError, "Index tensor must have the same number of dimensions", _CHUNKS, forms="batch"),
    refused("LinearCrossEntropy", "target", "extra_axis", RuntimeError, "Index tensor must have the same number of dimensions", _CHUNKS, forms="batch unbatched"),
    refused("LinearCrossEntropy", "target", "integer", RuntimeError, "Index tensor must have the same number of dimensions", _CHUNKS, forms="batch"),
    refused("LinearCrossEntropy", "linear_weight", "missing_axis", RuntimeError, "Index tensor must have the same number of dimensions", _CHUNKS, forms="k*"),
    wrong("LinearCrossEntropy", "linear_bias weight", "integer boolean complex", "number", "converted to the dtype of input; of complex numbers the imaginary part is lost", forms="batch"),
    refused("LinearCrossEntropy", "weight", "list", RuntimeError, "Expected a value of type 'Optional[Tensor]' for argument 'weight'", PARSER, forms="batch"),
    # class probabilities come in chunks since 2.14, unreduced ones since 2.15
    wrong("LinearCrossEntropy", "weight", "other_device", "RuntimeError", _MIXED, says="is not on the expected device", stage="backward", forms="*_probabilities", reductions="none", torch=">=2.15"),
    wrong("LinearCrossEntropy", "weight", "other_device", "number|nan|inf", _MIXED, forms="*_probabilities", reductions="mean sum", torch=">=2.14"),
    *(
        rule
        for since, reductions in ((">=2.14", "mean sum"), (">=2.15", "none"))
        for rule in (
            refused("LinearCrossEntropy", "weight", "list", RuntimeError, "Expected a value of type 'Optional[Tensor]' for argument 'weight'", PARSER, forms="*_probabilities", torch=since, reductions=reductions),
            wrong("LinearCrossEntropy", "weight", "complex", "number", "converted to the dtype of input: the imaginary part is lost", forms="*_probabilities", torch=since, reductions=reductions),
            wrong("LinearCrossEntropy", "weight", "axis0.one missing_axis", "number", "one weight is broadcast to all classes", forms="*_probabilities", torch=since, reductions=reductions),
            refused("LinearCrossEntropy", "weight", "axis* extra_axis", RuntimeError, "must match the size of tensor b|doesn't match the broadcast shape", BROADCAST, forms="*_probabilities", torch=since, reductions=reductions),
        )
    ),
    wrong("LinearCrossEntropy", "weight", "axis0.longer", "number", "the size of weight is not checked: what is too long is not looked at", forms="batch unbatched"),
    wrong("LinearCrossEntropy", "weight", "axis0.shorter", "number", "the size of weight is not checked: this target does not reach its end", forms="unbatched"),
    refused("LinearCrossEntropy", "weight", "axis0.shorter axis0.one", IndexError, "index out of range in self", _CHUNKS, forms="batch unbatched"),
    refused("LinearCrossEntropy", "weight", "missing_axis", IndexError, "index out of range in self", _CHUNKS, forms="unbatched"),
    refused("LinearCrossEntropy", "weight", "missing_axis", RuntimeError, "Index to scalar can have only 1 value", _CHUNKS, forms="batch"),
    refused("LinearCrossEntropy", "weight", "extra_axis", RuntimeError, "must match the size of tensor b|1D tensors expected|doesn't match the broadcast shape", _CHUNKS, forms="batch unbatched"),
)

RULES: tuple[Rule, ...] = (
    *(replace(rule, spelling=CHUNKED) for rule in CHUNKED_RULES),
    # -- reduction
    wrong("GaussianNLL MultiLabelSoftMargin PoissonNLL", "reduction", "none integer", "TypeError", "a message that cannot be put together, where others raise ValueError", 171076, says="unsupported operand type(s) for +"),
    refused("GaussianNLL MultiLabelSoftMargin", "reduction", "*", ValueError, "is not valid", FUNCTIONAL),
    refused("PoissonNLL TripletMarginWithDistance", "reduction", "old_name", ValueError, "elementwise_mean is not a valid value", FUNCTIONAL),
    refused("L1 MSE Huber", "reduction", "*", ValueError, "Invalid reduction mode", FUNCTIONAL, forms="*_weighted"),
    allowed("*", "reduction", "old_name", "number", "allowed: deprecated, and warned of (tests/expected_warnings.py)"),
    refused("*", "reduction", "*", ValueError, "is not a valid value for reduction", REDUCTION),
    # -- options: values
    refused("Huber", "delta", "zero negative nan", RuntimeError, "huber_loss does not support non-positive values for delta", LOSS),
    refused("SmoothL1", "beta", "negative nan", RuntimeError, "smooth_l1_loss does not support negative values for beta", LOSS),
    refused("MultiMargin", "p", "*", ValueError, "only p == 1 and p == 2 supported", MODULES, spelling=MODULE, stage="construction"),
    refused("MultiMargin", "p", "*", ValueError, "only p == 1 and p == 2 supported", FUNCTIONAL),
    refused(TRIPLETS, "margin", "zero negative", ValueError, "expected margin to be greater than 0", MODULES, spelling=MODULE, stage="construction"),
    refused(TRIPLETS, "margin", "zero negative", ValueError, "margin must be greater than 0", FUNCTIONAL),
    refused("LinearCrossEntropy", "label_smoothing", "negative above_one", RuntimeError, "expected label_smoothing to be in range [0, 1]", MODULES, spelling=MODULE, stage="construction"),
    refused("CrossEntropy LinearCrossEntropy", "label_smoothing", "above_one", RuntimeError, "label_smoothing must be between 0.0 and 1.0", NLL),
    refused("CTC", "blank", "negative past_the_end far", RuntimeError, "blank must be in label range", CTC),
    wrong("CrossEntropy LinearCrossEntropy", "label_smoothing", "negative", "number", "below 0 the smoothing is silently left out: only `> 0` is asked", 134767),
    wrong("CrossEntropy LinearCrossEntropy", "label_smoothing", "nan", "number", "NaN is silently no smoothing: only `> 0` is asked", 134767),
    wrong("CosineEmbedding", "margin", "above_one", "number", "documented as from -1 to 1; beyond, dissimilar pairs have no loss at all"),
    wrong(TRIPLETS, "margin", "nan", "nan", "only `<= 0` is asked of margin, which is not true of NaN"),
    wrong("TripletMargin", "p", "zero negative half", "number", "p is not checked; below 1 it is no norm", 187178),
    wrong("TripletMargin", "p", "tiny", "nan", "p is not checked, and the p-th root overflows", 187178),
    wrong("TripletMargin", "p", "nan", "nan", "p is not checked"),
    wrong("PoissonNLL", "eps", "negative", "nan", "eps is not checked: the logarithm of a rate below it is NaN", forms="*_full"),
    wrong("GaussianNLL PoissonNLL", "eps", "negative", "number", "eps is not checked: below 0 it guards nothing"),
    wrong("GaussianNLL", "eps", "nan", "nan", "eps is not checked", torch=">=2.12"),
    wrong("GaussianNLL", "eps", "nan", "number", "eps is not checked", torch="<2.12"),
    wrong("PoissonNLL", "eps", "nan", "number", "eps is not checked (and not used with log_input)"),
    # -- options: types
    refused("Huber", "delta", "text none", TypeError, "delta must be a float or int", MODULES, spelling=MODULE, stage="construction", torch=">=2.13"),
    refused(TRIPLETS, "margin", "text none", TypeError, "'<=' not supported between instances of", PYTHON, spelling=MODULE, stage="construction"),
    refused(TRIPLETS, "margin", "text none", TypeError, "'<=' not supported between instances of", PYTHON),
    refused("LinearCrossEntropy", "label_smoothing", "text none", TypeError, "'<' not supported between instances of", PYTHON, spelling=MODULE, stage="construction"),
    refused("GaussianNLL", "eps", "none", RuntimeError, "At least one of 'min' or 'max' must not be None", "raised by Tensor.clamp_"),
    refused("GaussianNLL", "eps", "text", TypeError, "clamp_() received an invalid combination of arguments", PARSER),
    refused("CTC", "blank zero_infinity", "text none fraction", TypeError, "ctc_loss() received an invalid combination of arguments", PARSER),
    refused("*", "ignore_index", "huge", "ValueError|RuntimeError", "Overflow when unpacking long", PARSER),
    wrong("GaussianNLL", "full", "text", "number", "any object is taken for a bool"),
    wrong("TripletMarginWithDistance", "swap", "text", "number", "any object is taken for a bool"),
    refused("*", "delta beta eps margin p label_smoothing ignore_index full log_input log_target swap", "text none fraction", TypeError, "must be", PARSER),
    # -- arguments that are no tensors
    refused("TripletMarginWithDistance", "*", "none list", AttributeError, "object has no attribute 'ndim'", PYTHON),
    refused("LinearCrossEntropy", "weight", "list", AttributeError, "object has no attribute 'shape'", PYTHON, spelling=MODULE, stage="construction"),
    refused("*", "weight pos_weight", "list", TypeError, "cannot assign 'list' object to buffer", BUFFER, spelling=MODULE, stage="construction"),
    refused("MultiMargin", "weight", "list", AttributeError, "'list' object has no attribute 'dim'", PYTHON),
    refused("BCE Huber L1 MSE", "weight", "list", AttributeError, "'list' object has no attribute 'size'", PYTHON),
    refused("MultiLabelSoftMargin", "target weight", "list", TypeError, "only integer tensors of a single element", PYTHON),
    refused("MultiLabelSoftMargin GaussianNLL", "target", "none list", TypeError, "unsupported operand type(s) for", PYTHON),
    refused("GaussianNLL", "var", "none list", TypeError, "'<' not supported between instances of", PYTHON),
    refused("CTC", "*", "none list", TypeError, "ctc_loss() received an invalid combination of arguments", PARSER),
    refused("MarginRanking LinearCrossEntropy", "input input1 input2 target linear_weight linear_bias", "none list", AttributeError, "object has no attribute", PYTHON),
    refused("BCE BCEWithLogits GaussianNLL Huber L1 MSE SmoothL1", "input target", "none list", AttributeError, "object has no attribute 'size'", PYTHON),
    refused("*", "*", "none list", TypeError, "must be Tensor, not", PARSER),
    # -- tensors on different devices
    wrong("LinearCrossEntropy", "linear_weight", "other_device", "number|nan|inf", _MIXED),
    wrong(CLASSES, "input", "other_device", "RuntimeError", "one row is read as an item, from whatever device, and only backward notices", says="is not on the expected device", stage="backward", forms="unbatched"),
    wrong("CosineEmbedding", "target", "other_device", "NotImplementedError", "a target of one element mixes with any device, and only backward notices", says="Cannot copy out of meta tensor", stage="backward", forms="unbatched"),
    refused("*", "*", "other_device", NOT_IMPLEMENTED, "is not on the expected device|cannot be called on meta tensors|out of meta tensor|with Meta tensors", "raised by the dispatcher"),
    # -- values outside the domain
    refused("BCE", "input", "below_zero above_one nan", RuntimeError, "all elements of input should be between 0 and 1", LOSS),
    refused("BCE", "target", "below_zero above_one nan", RuntimeError, "all elements of target should be between 0 and 1", LOSS),
    refused("GaussianNLL", "var", "negative", ValueError, "var has negative entry/entries", FUNCTIONAL),
    wrong("BCEWithLogits", "target", "below_zero above_one", "number", "the range of target is not checked, as BCELoss does", 110865),
    wrong("MultiLabelSoftMargin", "target", "below_zero above_one", "number", "the range of target is not checked"),
    wrong("KLDiv", "target", "below_zero", "nan", "the log of a negative probability, unchecked"),
    wrong("KLDiv", "target", "above_one positive", "number", "the range of target is not checked"),
    wrong("KLDiv NLL CTC", "input log_probs", "positive", "number", "nothing asks whether these are log-probabilities: logits pass"),
    wrong("CosineEmbedding", "target", "zero two nan", "number", "where target is neither 1 nor -1 the loss is silently 0", 23782),
    wrong("HingeEmbedding", "target", "zero two nan", "number", "where target is neither 1 nor -1 both branches are added, or neither"),
    wrong("SoftMargin", "target", "zero two", "number", "the sign of target is multiplied by, whatever it is"),
    wrong("MarginRanking SoftMargin", "target", "nan", "nan", "the sign of target is multiplied by, whatever it is"),
    wrong("PoissonNLL", "input", "negative", "nan", "the log of a negative rate, unchecked", 184030),
    wrong("PoissonNLL", "target", "negative", "number", "a negative count, unchecked"),
    allowed("GaussianNLL", "var", "nan", "nan", "allowed: NaN in, NaN out, and nothing else is documented"),
    # -- indices
    refused(CLASSES, "target", "past_the_end negative far far_negative", IndexError, "is out of bounds", NLL),
    refused("MultiMargin", "target", "past_the_end negative far far_negative", RuntimeError, "target out of range", "raised in ATen/native/LossMultiMargin.cpp"),
    refused("MultiLabelMargin", "target", "past_the_end negative far far_negative", RuntimeError, "argument #2 'target' is out of range", "raised in ATen/native/LossMultiLabelMargin.cpp"),
    wrong("CTC", "targets", "far far_negative", "SIGSEGV", "labels are not checked: they index log_probs, wherever that leads", 193794),
    wrong("CTC", "targets", "past_the_end negative", "SIGSEGV", "labels are not checked: here they index the memory beside log_probs", 193794, forms="unbatched"),
    wrong("CTC", "targets", "negative", "SIGSEGV", "labels are not checked: here, in the first row, they index the memory before log_probs", 193794, forms="padded"),
    wrong("CTC", "targets", "past_the_end negative", "number", "labels are not checked: here they index another row's probabilities", 193794),
    wrong("CTC", "log_probs", "axis2.one", "SIGSEGV", "labels are not checked: they index log_probs, wherever that leads", 193794),
    wrong("CTC", "log_probs", "axis1.one", "SIGSEGV", "labels are not checked: they index log_probs, wherever that leads", 193794, forms="unbatched"),
    wrong("CTC", "log_probs", "axis2.shorter", "number", "labels are not checked: here they index another row's probabilities", 193794),
    wrong("CTC", "targets", "blank", "number", "documented: a target cannot be blank"),
    refused("CTC", "input_lengths", "past_the_end far", RuntimeError, "Expected input_lengths to have value at most", CTC),
    refused("CTC", "input_lengths", "negative far_negative", RuntimeError, "Expected input_lengths to have value at least", CTC),
    refused("CTC", "log_probs", "axis0.shorter axis0.one", RuntimeError, "Expected input_lengths to have value at most", CTC),
    refused("CTC", "target_lengths", "negative far_negative", RuntimeError, "Expected target_lengths to have value at least", CTC),
    refused("CTC", "target_lengths", "past_the_end far", RuntimeError, "Expected tensor to have size", CTC),
    # -- dtypes: indices
    refused(CLASSES, "target", "float int32 boolean", RuntimeError, "expected target dtype to be Long or Byte", NLL, torch=">=2.12"),
    refused(CLASSES, "target", "float int32 boolean", RuntimeError, "expected scalar type Long but found", NLL, torch="<2.12"),
    refused("MultiMargin MultiLabelMargin", "target", "float int32 boolean", RuntimeError, "expected scalar type Long but found", DISPATCH),
    refused("CTC", "input_lengths target_lengths", "float boolean", RuntimeError, "_lengths must be integral", CTC),
    allowed("CTC", "*", "int32", "number", "allowed: documented as IntTensor or LongTensor"),
    wrong("CTC", "targets", "float", "number", "targets of any dtype are converted; documented are integers"),
    wrong("CTC", "targets", "boolean", "inf", "targets of any dtype are converted; documented are integers"),
    # -- dtypes: numbers
    refused("LinearCrossEntropy", "all", "integer boolean", ValueError, "acc_dtype must be one of", "raised in nn/functional.py", spelling=CHUNKED),
    refused(f"MSE Huber SmoothL1 BCE BCEWithLogits MultiLabelSoftMargin MultiMargin MultiLabelMargin {CLASSES} CTC", "all", "integer boolean", NOT_IMPLEMENTED, "not implemented for", DISPATCH),
    refused("KLDiv", "all", "integer boolean", RuntimeError, "kl_div: Integral inputs not supported", LOSS),
    refused("GaussianNLL SoftMargin", "all", "integer boolean", "RuntimeError|NotImplementedError", "result type Float can't be cast|Negation, the `-` operator", DISPATCH),
    refused(f"L1 PoissonNLL HingeEmbedding MarginRanking {TRIPLETS}", "all", "boolean", "RuntimeError|NotImplementedError", "Subtraction, the `-` operator", DISPATCH),
    refused("L1 HingeEmbedding", "all", "integer", "RuntimeError|NotImplementedError", "could not infer output dtype", "raised by the mean", reductions="mean"),
    wrong("Huber", "target", "integer boolean", "RuntimeError", "forward promotes, backward does not", 76646, says="Found dtype", stage="backward"),
    refused("BCE", "input target", "integer boolean complex", RuntimeError, "Found dtype", DISPATCH),
    refused("CrossEntropy LinearCrossEntropy", "target", "integer complex", RuntimeError, "Expected floating point type for target with class probabilities", NLL),
    refused("LinearCrossEntropy", "input linear_weight linear_bias", "integer boolean complex", RuntimeError, "have the same dtype", "raised by the matrix product"),
    wrong("CrossEntropy LinearCrossEntropy", "weight", "integer boolean", "number", "class probabilities are multiplied by it; with class indices it is refused", 134896, forms="*_probabilities"),
    wrong("CrossEntropy LinearCrossEntropy", "weight", "complex", "RuntimeError", "complex numbers are only refused in backward", 134896, says="grad can be implicitly created only for real scalar outputs", stage="backward", forms="*_probabilities"),
    refused(f"{CLASSES} MultiMargin", "weight", "integer boolean complex", RuntimeError, "expected scalar type Float but found", DISPATCH),
    refused("KLDiv", "input target", "complex", RuntimeError, "kl_div: Complex inputs not supported", LOSS),
    refused("KLDiv", "input target", "integer boolean", RuntimeError, "kl_div: Integral inputs not supported", LOSS),
    allowed("L1", "input target", "complex", "number", "allowed: documented as supporting complex inputs"),
    wrong("PoissonNLL GaussianNLL SoftMargin", "input", "complex", "complex", "complex numbers are not refused, and the loss is no real number"),
    wrong("MSE Huber L1 MultiLabelSoftMargin", "weight", "complex", "RuntimeError", "complex numbers are only refused in backward", says="grad can be implicitly created only for real scalar outputs", stage="backward"),
    wrong("PoissonNLL GaussianNLL MultiLabelSoftMargin", "target", "complex", "RuntimeError", "complex numbers are only refused in backward", says="grad can be implicitly created only for real scalar outputs", stage="backward"),
    wrong(TRIPLETS, "anchor positive negative", "complex", "number", "the norm takes complex numbers; documented is nothing of the kind"),
    wrong("CosineEmbedding HingeEmbedding", "target", "complex", "number", "target is only compared with 1 and -1"),
    refused("HingeEmbedding", "input", "integer", NOT_IMPLEMENTED, "mean(): could not infer output dtype", DISPATCH, reductions="mean"),
    allowed("HingeEmbedding", "input", "integer", "number", PROMOTED, reductions="none sum"),
    refused("Huber SoftMargin", "input", "integer", RuntimeError, "result type Float can't be cast", DISPATCH),
    refused("Huber", "input", "boolean", RuntimeError, "result type Float can't be cast", DISPATCH),
    refused("GaussianNLL", "var", "integer boolean", RuntimeError, "result type Float can't be cast", DISPATCH),
    refused("BCEWithLogits", "target", "integer", RuntimeError, "result type Float can't be cast", DISPATCH),
    refused("BCEWithLogits", "target", "complex", NOT_IMPLEMENTED, "does not support automatic differentiation for outputs with complex dtype", DISPATCH),
    refused("BCE BCEWithLogits Huber SoftMargin", "weight pos_weight target", "complex", RuntimeError, "result type ComplexFloat can't be cast", DISPATCH),
    refused("BCEWithLogits MultiLabelSoftMargin MultiMargin MultiLabelMargin NLL CrossEntropy CTC", "input log_probs", "integer boolean complex", NOT_IMPLEMENTED, "not implemented for", DISPATCH),
    refused("HingeEmbedding CosineEmbedding MarginRanking", "input input1 input2 target", "complex", NOT_IMPLEMENTED, "clamp is not supported for complex types", DISPATCH),
    refused("MSE Huber SmoothL1 GaussianNLL", "input target var", "complex", NOT_IMPLEMENTED, "not implemented for 'ComplexFloat'", DISPATCH),
    refused("L1 GaussianNLL HingeEmbedding MarginRanking TripletMargin*", "input input1 input2 anchor positive negative", "boolean", NOT_IMPLEMENTED, "Subtraction, the `-` operator, with", DISPATCH),
    refused("L1 GaussianNLL MultiLabelSoftMargin BCEWithLogits", "target pos_weight", "boolean", NOT_IMPLEMENTED, "Subtraction, the `-` operator, with", DISPATCH),
    refused("SoftMargin", "input", "boolean", NOT_IMPLEMENTED, "Negation, the `-` operator", DISPATCH),
    wrong("SoftMargin", "target", "boolean", NOT_IMPLEMENTED, "forward takes a bool target, backward does not", says="Negation, the `-` operator", stage="backward"),
    wrong("MSE", "target", "boolean integer", "RuntimeError", "forward promotes, backward does not", says="Found dtype", stage="backward", torch="<2.12"),
    allowed("*", "*", "integer boolean", "number", PROMOTED),
    # -- shapes: where a batch axis of 1 slips through
    wrong("NLL CrossEntropy LinearCrossEntropy", "target", "extra_axis", "RuntimeError", "forward takes a target of shape (1) for an unbatched input, backward does not", 129643, says="size mismatch", stage="backward", forms="unbatched", torch=">=2.9"),
    wrong("NLL", "input", "missing_axis", "number", "an input of shape (C) passes with a target of shape (C)", 157420, forms="batch", torch="<2.9"),
    refused("LinearCrossEntropy", "weight", SHAPE, RuntimeError, "expected weight shape to be", MODULES, spelling=MODULE, stage="construction"),
    wrong("NLL CrossEntropy LinearCrossEntropy", "weight", "extra_axis", "number", "a weight of shape (C, 1) is taken for (C)", forms="k*"),
    wrong("CosineEmbedding", "target", "axis0.one", "number", "a target of shape (1) is broadcast to (N)"),
    wrong("CosineEmbedding", "all", "extra_axis", "number", "a target of shape (1) is broadcast to (N)", forms="unbatched"),
    wrong("CosineEmbedding", "input1 input2", "axis0.one", "number", "one row is broadcast to (N, D); documented is one shape for both", 112732, forms="batch"),
    wrong("CosineEmbedding", "input1 input2", "axis1.one axis0.one", "number", "(N, 1) is broadcast to (N, D) after its norm was taken: that is no cosine", 112732),
    wrong("MultiMargin", "target", "extra_axis", "number", "a target of shape (1) is taken for an unbatched input", forms="unbatched"),
    allowed("MultiMargin", "input", "missing_axis", "number", "allowed: a single class, unbatched", forms="unbatched"),
    allowed("CTC", "input_lengths target_lengths", "extra_axis", "number", "allowed: as many lengths as rows, in any shape"),
    refused("MultiLabelSoftMargin", "input", "missing_axis", IndexError, "but tensor has no dimensions", "raised by Tensor.size", forms="unbatched"),
    refused("MultiLabelSoftMargin", "*", "extra_axis", RuntimeError, "must match the size of tensor b", BROADCAST, forms="k*"),
    wrong("MultiLabelSoftMargin", "input target", "extra_axis missing_axis axis*.one", "number", "target is broadcast; documented is the shape of input"),
    wrong("MultiLabelSoftMargin", "weight", "extra_axis", "number", "a weight of shape (C, 1) is broadcast"),
    wrong(BROADCASTS, "target", "missing_axis", "number", "target is broadcast without a warning; documented is the shape of input"),
    # -- shapes: by loss
    refused("L1 MSE Huber", "weight", SHAPE, ValueError, "Weights and input must have the same size", FUNCTIONAL),
    refused("BCE", "input target", SHAPE, ValueError, "that is different to the input size", FUNCTIONAL),
    refused("BCE", "weight", SHAPE, RuntimeError, "Attempting to broadcast a dimension|must match the size of tensor|doesn't match the broadcast shape", BROADCAST),
    refused("BCEWithLogits", "input target", SHAPE, ValueError, "must be the same as input size", FUNCTIONAL),
    refused("BCEWithLogits", "weight pos_weight", "extra_axis", RuntimeError, "doesn't match the broadcast shape", BROADCAST, forms="vector square"),
    refused("GaussianNLL", "var", SHAPE, ValueError, "var is of incorrect size", FUNCTIONAL),
    refused("GaussianNLL", "input", "axis* missing_axis", ValueError, "var is of incorrect size", FUNCTIONAL),
    refused("CosineEmbedding", "target all", "extra_axis", RuntimeError, "0D or 1D target tensor expected, multi-target not supported", LOSS, forms="batch"),
    refused("CosineEmbedding", "*", "extra_axis missing_axis", RuntimeError, "D target tensor expects", LOSS),
    refused("MarginRanking", "*", "extra_axis missing_axis", RuntimeError, "All input tensors should have same dimension", FUNCTIONAL),
    refused(TRIPLETS, "*", "extra_axis missing_axis", RuntimeError, "tensors are expected to have the same number of dimensions", LOSS),
    refused("MultiMargin MultiLabelMargin", "input all", "extra_axis", RuntimeError, "Expected non-empty vector or matrix with optional 0-dim batch size", MULTI, forms="batch"),
    refused("MultiMargin", "weight", "axis*", RuntimeError, "inconsistent weight size, expected", MULTI),
    refused("MultiMargin", "weight", "extra_axis missing_axis", ValueError, "expected weight to be None or 1D tensor", MODULES, spelling=MODULE, stage="construction"),
    refused("MultiMargin", "weight", "extra_axis missing_axis", ValueError, "weight must be one-dimensional", FUNCTIONAL),
    refused("MultiMargin", "input", "axis1.shorter axis1.one", RuntimeError, "target out of range", "raised in ATen/native/LossMultiMargin.cpp"),
    refused("MultiMargin", "*", SHAPE, RuntimeError, "target tensor should be 1-D with size equal to the number|inconsistent target size, expected", MULTI),
    refused("MultiLabelMargin", "all", "extra_axis", RuntimeError, "argument #2 'target' is out of range", "raised in ATen/native/LossMultiLabelMargin.cpp"),
    refused("MultiLabelMargin", "*", SHAPE, RuntimeError, "inconsistent target size: ", MULTI),
    refused("LinearCrossEntropy", "linear_bias", SHAPE, RuntimeError, "expected linear_bias shape", FUNCTIONAL),
    refused("LinearCrossEntropy", "linear_weight", "missing_axis", RuntimeError, "expected linear_weight with dimensionality at least 2", FUNCTIONAL, forms="batch unbatched"),
    refused("LinearCrossEntropy", "linear_weight", "axis0.shorter axis0.one", IndexError, "is out of bounds", NLL),
    refused("LinearCrossEntropy", "input all", "extra_axis missing_axis", "RuntimeError|ValueError", "expected input with dimensionality 1 or 2|requires batched input|got unbatched input|expected equal input and linear_weight last dimensions|Expected floating point type|Expected input batch_size", FUNCTIONAL),
    refused("LinearCrossEntropy", "input linear_weight", "axis* extra_axis", RuntimeError, "expected equal input and linear_weight last dimensions", FUNCTIONAL, forms="unbatched"),
    refused("LinearCrossEntropy", "input", "axis1.*", RuntimeError, "expected equal input and linear_weight last dimensions", FUNCTIONAL),
    refused(CLASSES, "weight", SHAPE, RuntimeError, "weight tensor should be defined either for all", NLL),
    refused("NLL CrossEntropy", "input", "axis1.shorter axis1.one", IndexError, "is out of bounds", NLL, forms="batch k*"),
    refused("NLL CrossEntropy", "input", "axis0.one", IndexError, "is out of bounds", NLL, forms="unbatched"),
    refused(CLASSES, "input target", "axis0.*", ValueError, "Expected input batch_size|For 1D input, 1D target must have size", NLL, forms="batch k*"),
    refused("LinearCrossEntropy", "linear_weight", SHAPE, RuntimeError, "expected equal input and linear_weight last dimensions|Expected target size|Expected floating point type", FUNCTIONAL),
    refused(CLASSES, "input target all", SHAPE, "RuntimeError|ValueError", "0D or 1D target tensor expected|Expected target size|only batches of spatial targets supported|size mismatch (got input|Expected input batch_size|For 1D input, 1D target|or more dimensions (got|Expected floating point type for target|expected target dtype to be Long|expected scalar type Long", NLL),
    refused("CTC", "log_probs targets", SHAPE, RuntimeError, "dimensional tensor for argument|Expected tensor to have size|input_lengths must be of size batch_size", CTC),
    refused("CTC", "input_lengths target_lengths", SHAPE, RuntimeError, "_lengths must be of size batch_size", CTC),
    refused("CTC", "all", SHAPE, RuntimeError, "dimensional tensor for argument|input_lengths must be of size batch_size", CTC),
    refused("SoftMargin", "*", SHAPE, RuntimeError, "must match the size of tensor b|doesn't match the broadcast shape", BROADCAST),
    refused("*", "*", SHAPE, RuntimeError, "must match the size of tensor b", BROADCAST),
)
