"""Reported upstream: calls that are accepted, refused or answered otherwise than they should be, and what is said of them."""

from __future__ import annotations

from .report import Report

CALLS = (
    Report(
        110865,
        "BCEWithLogitsLoss: labels outside of [0, 1] are accepted",
        "errors:BCEWithLogits.target.below_zero",
        """
try: torch.nn.BCEWithLogitsLoss()(torch.zeros(3), torch.tensor([0.0, -1.0, 5.0])); shows = True
except RuntimeError: shows = False""",
    ),
    Report(
        123339,
        "BCEWithLogitsLoss: so is a label of 2, which BCELoss refuses",
        "errors:BCEWithLogits.target.below_zero",
        """
try: F.binary_cross_entropy_with_logits(torch.tensor([0.5]), torch.tensor([2.0])); shows = True
except RuntimeError: shows = False""",
    ),
    Report(
        134767,
        "CrossEntropyLoss: a negative label_smoothing is accepted",
        "errors:CrossEntropy.label_smoothing.negative",
        """
x, t = torch.zeros(2, 3), torch.tensor([0, 1])
try: F.cross_entropy(x, t, label_smoothing=-3.0); shows = True
except RuntimeError: shows = False""",
    ),
    Report(
        134896,
        "CrossEntropyLoss: a weight of booleans is accepted beside probabilities",
        "errors:CrossEntropy.weight.integer",
        """
try: F.cross_entropy(torch.zeros(3), torch.ones(3), weight=torch.tensor([True, False, True])); shows = True
except RuntimeError: shows = False""",
    ),
    Report(
        129643,
        "NLLLoss: forward accepts a target of one class for a row without a batch, and backward refuses it",
        "errors:NLL.target.extra_axis",
        """
x = torch.zeros(3, requires_grad=True)
try:
    loss = F.nll_loss(x, torch.tensor([1]))
    try: loss.backward(); shows = False
    except RuntimeError: shows = True
except RuntimeError: shows = False""",
        torch=">=2.9",
    ),
    Report(
        184030,
        "PoissonNLLLoss: a negative rate gives NaN, without a word",
        "errors:PoissonNLL.input.negative",
        """
rate = torch.tensor([-1.0])
try: shows = F.poisson_nll_loss(rate, torch.ones(1), log_input=False).isnan().item()
except ValueError: shows = False""",
    ),
    Report(
        173796,
        "PoissonNLLLoss: complex input is accepted, and overflows into NaN",
        "errors:PoissonNLL.input.complex",
        """
shows = F.poisson_nll_loss(torch.tensor([100 + 0j], dtype=torch.complex64), torch.zeros(1)).imag.isnan().item()""",
    ),
    Report(
        49917,
        "CosineEmbeddingLoss: a target that is neither 1 nor -1 is accepted",
        "errors:CosineEmbedding.target.zero",
        """
shows = F.cosine_embedding_loss(torch.ones(1, 2), -torch.ones(1, 2), torch.tensor([0.5])).item() == 0""",
    ),
    Report(
        112732,
        "CosineEmbeddingLoss: an input of one feature is broadcast after its norm was taken",
        "errors:CosineEmbedding.input1.axis1.one",
        """
x, y = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0]])
shows = not torch.allclose(*(F.cosine_embedding_loss(x, z, torch.ones(1)) for z in (y, y.expand(1, 2))))""",
    ),
    Report(
        187178,
        "TripletMarginLoss: p = 1e-6 gives NaN, without a word",
        "errors:TripletMargin.p.tiny",
        """
a = torch.zeros(1, 8)
shows = F.triplet_margin_loss(a, a + 1, a + 2, p=1e-6).isnan().item()""",
    ),
    Report(
        171076,
        "PoissonNLLLoss: a reduction that is no string ends in an error of Python's",
        "errors:GaussianNLL.reduction.none",
        """
try: F.poisson_nll_loss(torch.ones(2), torch.ones(2), reduction=3); shows = False
except Exception as error: shows = isinstance(error, TypeError) and "unsupported operand" in str(error)""",
    ),
    Report(
        171077,
        "MultiLabelSoftMarginLoss: so it does here",
        "errors:GaussianNLL.reduction.none",
        """
try: F.multilabel_soft_margin_loss(torch.ones(1, 2), torch.ones(1, 2), reduction=3); shows = False
except Exception as error: shows = isinstance(error, TypeError) and "unsupported operand" in str(error)""",
    ),
    Report(
        114334,
        "AdaptiveLogSoftmaxWithLoss: div_value is not checked",
        "rows_of_errors:adaptive-zero_div_value",
        """
try: torch.nn.AdaptiveLogSoftmaxWithLoss(4, 10, [2], div_value=0.0); shows = False
except ZeroDivisionError: shows = True
except ValueError: shows = False""",
    ),
    Report(
        149131,
        "GaussianNLLLoss: a variance that is a whole number is refused",
        "rows_of_errors:gaussian_nll-whole_number",
        """
try: F.gaussian_nll_loss(torch.ones(2), torch.ones(2), 1); shows = False
except TypeError: shows = True""",
    ),
    Report(
        176244,
        "GaussianNLLLoss: a variance that broadcasts in two axes is refused",
        "rows_of_errors:gaussian_nll-two_axes_of_one",
        """
x = torch.zeros(4, 3, 2, 2)
try: F.gaussian_nll_loss(x, x, torch.ones(4, 3, 1, 1)); shows = False
except ValueError: shows = True""",
    ),
    Report(
        53392,
        "GaussianNLLLoss: a variance without axes is refused",
        "shape_departures:a_variance_without_axes_is_refused",
        """
x = torch.zeros(2, 3, 4, 4)
try: torch.nn.GaussianNLLLoss()(x, x, torch.tensor(1.0)); shows = False
except Exception: shows = True""",
    ),
    Report(
        76646,
        "HuberLoss: of mixed dtypes there is a value and no gradient",
        "dtype_departures:huber_loss_cannot_go_back",
        """
x = torch.zeros(2, requires_grad=True)
try: F.huber_loss(x, torch.zeros(2).double()).backward(); shows = False
except RuntimeError: shows = True""",
    ),
    Report(
        175084,
        "NLLLoss: no gradient for images with the channels last",
        "layout_departures:nll_loss2d_backward_wants_contiguous",
        """
x = torch.zeros(1, 2, 2, 2).to(memory_format=torch.channels_last).requires_grad_()
try: F.nll_loss(x, torch.zeros(1, 2, 2, dtype=torch.long)).backward(); shows = False
except RuntimeError: shows = True""",
    ),
    Report(
        117254,
        "mse_loss: an internal assertion for a reduction that there is not",
        "rows_of_errors:mse-unknown_reduction",
        """
try: torch.ops.aten.mse_loss(torch.ones(2), torch.ones(2), -1); shows = False
except RuntimeError as error: shows = "INTERNAL ASSERT" in str(error)""",
    ),
    Report(
        117246,
        "smooth_l1_loss: an internal assertion for a reduction that there is not",
        "rows_of_errors:smooth_l1-unknown_reduction",
        """
try: torch.ops.aten.smooth_l1_loss(torch.ones(2), torch.ones(2), -1, 1e-4); shows = False
except RuntimeError as error: shows = "INTERNAL ASSERT" in str(error)""",
    ),
    Report(
        89630,
        "nll_loss_backward: more targets than rows are accepted",
        "rows_of_errors:nll_backward-more_targets",
        """
more = torch.tensor([2, 0, 0])
try: torch.ops.aten.nll_loss_backward(torch.ones(1), torch.ones(3), more, None, 0, 10, torch.tensor(3.0)); shows = True
except RuntimeError: shows = False""",
    ),
    Report(
        194799,
        "log_softmax: backward accepts an output smaller than its gradient, and reads past it",
        "rows_of_errors:log_softmax_backward-smaller_output",
        """
g, output = torch.ones(1, 16), torch.zeros(1, 1)
try: torch.ops.aten._log_softmax_backward_data(g, output, 1, torch.float32); shows = True
except RuntimeError: shows = False""",
    ),
    Report(
        146790,
        "multi_margin_loss_backward: an empty gradient ends the process",
        "rows_of_errors:multi_margin_backward-empty_gradient",
        """
torch.ops.aten.multi_margin_loss_backward(torch.tensor([]), torch.tensor([64.0]), torch.tensor([0]), 2, 1.0, None, 0)
shows = True  # it is refused where it is mended""",
        alone=True,
    ),
    Report(
        194802,
        "nll_loss2d_backward: a class that there is not is written to",
        "rows_of_errors:nll2d_backward-far_target",
        """
x, far = torch.ones(1, 1, 1, 1), torch.tensor([[[2**40]]])
try: torch.ops.aten.nll_loss2d_backward(x[0], x, far, None, 0, -100, torch.tensor(1.0)); shows = True
except IndexError: shows = False""",
        alone=True,
    ),
    Report(
        191568,
        "CTCLoss: a label that there is not is read",
        "errors:CTC.targets.far",
        """
try: F.ctc_loss(torch.zeros(50, 1, 10), torch.tensor([2147483647]), [1], [1]); shows = True
except RuntimeError: shows = False""",
        alone=True,
    ),
    Report(
        193794,
        "CTCLoss: labels that there are not damage the heap in backward",
        "rows_of_errors:ctc-backward_of_unchecked_labels",
        """
x = torch.zeros(5, 6, requires_grad=True)
try: F.ctc_loss(x, torch.tensor([[3, 5, 6, 7]]), torch.tensor([5]), torch.tensor([4])).backward(); shows = True
except RuntimeError: shows = False""",
        alone=True,
    ),
    Report(
        192454,
        "CTCLoss: labels that were changed after forward are read in backward",
        "rows_of_errors:ctc-labels_changed_before_backward",
        """
x, labels = torch.zeros(50, 1, 15, requires_grad=True), torch.tensor([[1]])
loss, _ = F.ctc_loss(x, labels, [50], [1]), labels.data.fill_(2147483647)
try: loss.backward(); shows = True
except RuntimeError: shows = False""",
        alone=True,
    ),
    Report(
        77529,
        "SoftMarginLoss: out= is written to for what is computed on the way, and past its end",
        "",
        """
b = torch.zeros(5)
torch.ops.aten.soft_margin_loss.out(torch.ones(3), torch.ones(3), 1, out=b[1])
shows = bool(b[2:].any())""",
    ),
    Report(
        193003,
        "L1Loss: an override is not handed the weight",
        "test_overrides:weighted_l1_forgets_its_weight",
        """
class Subclass(torch.Tensor): pass
x, w = torch.ones(2), torch.tensor([1.0, 3.0])
given = {"weight": w, "reduction": "sum"}
shows = F.l1_loss(x.as_subclass(Subclass), 0 * x, **given).item() != F.l1_loss(x, 0 * x, **given).item()""",
    ),
    Report(
        5157,
        "BCELoss: a weight is documented that is refused",
        "test_documentation:bce_weight_of_a_batch",
        """
loss, p = torch.nn.BCELoss(torch.ones(4)), torch.full((4, 5), 0.5)
try: loss(p, p); shows = False
except RuntimeError: shows = "size `nbatch`" in loss.__doc__""",
    ),
    Report(
        190058,
        "GaussianNLLLoss: eps is documented as added",
        "test_documentation:gaussian_nll_adds_no_eps",
        """
x, var = torch.zeros(1), torch.full((1,), 4.0)
is_added = F.gaussian_nll_loss(x, x, var, eps=1.0).item() != F.gaussian_nll_loss(x, x, var, eps=2.0).item()
shows = not is_added and "added to var" in F.gaussian_nll_loss.__doc__""",
        torch="<2.14",
    ),
    Report(
        196122,
        "MSELoss: the type stub lacks the weight",
        "test_documentation:stub_of_mse_lacks_the_weight",
        """
import inspect, re
stub = re.search(r"def mse_loss\\((.*?)\\) ->", open(F.__file__ + "i").read(), re.DOTALL)[1]
shows = "weight" in inspect.signature(F.mse_loss).parameters and "weight" not in stub""",
        torch="<2.15",
    ),
    Report(
        157420,
        "NLLLoss: of (N) and (N) the N numbers are classes, and only the first target counts",
        "errors:NLL.input.missing_axis",
        """
try: F.nll_loss(torch.zeros(10), torch.zeros(10).long()); shows = True
except ValueError: shows = False""",
        torch="<2.9",
    ),
    Report(
        36553,
        "MSELoss: no gradient for an input in float64 and a target in float32",
        "dtype_departures:mse_loss_could_not_go_back",
        """
x = torch.ones(2, dtype=torch.float64, requires_grad=True)
try: F.mse_loss(x, torch.zeros(2)).backward(); shows = False
except RuntimeError: shows = True""",
        torch="<2.12",
    ),
    Report(
        147521,
        "GaussianNLLLoss: a variance for all rows is refused",
        "shape_departures:a_variance_for_all_rows_is_refused",
        """
x = torch.zeros(4, 3, 5, 5)
try: F.gaussian_nll_loss(x, x, torch.ones(4, 1, 5, 5)); shows = False
except ValueError: shows = True""",
        torch="<2.10",
    ),
    Report(
        25174,
        "BCEWithLogitsLoss: the weight is documented as one per row",
        "",
        """
shows = "size `nbatch`" in torch.nn.BCEWithLogitsLoss.__doc__""",
        torch="<2.11",
    ),
)
