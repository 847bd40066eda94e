"""Reported upstream: losses and gradients that are wrong."""

from __future__ import annotations

from .report import Report

NUMBERS = (
    Report(
        49844,
        "BCEWithLogitsLoss: a logit of -inf and target 0 give NaN, and not 0",
        "special_divergences:bce-with-logits-infinite-logit",
        """
x, t = torch.tensor([float("-inf")]), torch.tensor([0.0])
shows = bool(torch.nn.BCEWithLogitsLoss()(x, t).isnan())""",
    ),
    Report(
        51906,
        "BCEWithLogitsLoss: logits that are infinite in float32 give NaN",
        "special_divergences:bce-with-logits-infinite-logit",
        """
x = torch.tensor([-2.3135e+307, 6.6756e+307])
shows = F.binary_cross_entropy_with_logits(x, torch.ones(2)).isnan().item()""",
    ),
    Report(
        102894,
        "BCEWithLogitsLoss: a logit of inf gives NaN, where BCELoss of its sigmoid gives 0",
        "special_divergences:bce-with-logits-infinite-logit",
        """
x, t = torch.tensor([float("inf")]), torch.tensor([1.0])
shows = bool(F.binary_cross_entropy_with_logits(x, t).isnan()) and F.binary_cross_entropy(x.sigmoid(), t).item() == 0""",
    ),
    Report(
        135359,
        "BCEWithLogitsLoss: NaN at -inf, which is not what is documented",
        "special_divergences:bce-with-logits-infinite-logit",
        """
shows = bool(F.binary_cross_entropy_with_logits(torch.tensor(float("-inf")), torch.tensor(0.9)).isnan())""",
    ),
    Report(
        195529,
        "BCEWithLogitsLoss: the tail is 0 on one side",
        "divergences:bce-with-logits-cancels",
        """
x, o = torch.tensor(40.0, dtype=torch.float64), torch.tensor(1.0, dtype=torch.float64)
shows = F.binary_cross_entropy_with_logits(-x, 0 * o).item() != F.binary_cross_entropy_with_logits(x, o).item()""",
    ),
    Report(
        195677,
        "BCEWithLogitsLoss: the gradient is 0 where float64 has a number for it",
        "divergences:bce-with-logits-cancels",
        """
x = torch.tensor(37.42994775023705, dtype=torch.float64, requires_grad=True)
g, = torch.autograd.grad(F.binary_cross_entropy_with_logits(x, torch.ones_like(x)), x)
shows = g.item() == 0""",
    ),
    Report(
        103316,
        "BCELoss: of a sigmoid of very negative logits, the gradient is nearly 0 and not -1",
        "divergences:bce-gradient",
        """
x = torch.tensor([-50.0], requires_grad=True)
F.binary_cross_entropy(x.sigmoid(), torch.ones(1)).backward()
shows = abs(x.grad.item() + 1) > 0.5""",
    ),
    Report(
        195678,
        "CrossEntropyLoss: exactly 0 for a confident row",
        "divergences:log-of-sum",
        """
shows = F.cross_entropy(torch.tensor([[20.0, 0.0]]), torch.tensor([0])).item() == 0""",
    ),
    Report(
        85791,
        "NLLLoss: the sum behind a mean overflows in float16",
        "range_divergences:half-sum-overflows",
        """
shows = F.nll_loss(torch.full((40000, 2), -2.0, dtype=torch.float16), torch.zeros(40000).long()).isinf().item()""",
    ),
    Report(
        115588,
        "KLDivLoss: 0 * inf is NaN, and not 0",
        "special_divergences:kl-zero-times-infinity",
        """
shows = F.kl_div(torch.tensor([[0.0, -torch.inf]]), torch.tensor([[1.0, 0.0]]), reduction="batchmean").isnan().item()""",
    ),
    Report(
        89558,
        "KLDivLoss: the gradient in a target of 0 is NaN",
        "special_divergences:kl-zero-times-infinity",
        """
t = torch.tensor([1.0, 0.0], requires_grad=True)
F.kl_div(torch.tensor([0.4, 0.6]).log(), t, reduction="sum").backward()
shows = t.grad[1].isnan().item()""",
    ),
    Report(
        138810,
        "KLDivLoss: batchmean divides by the rows of an input that is broadcast",
        "shape_departures:batchmean_divides_by_the_first_axis_of_input",
        """
x, t = torch.full((1, 4), -1.0), torch.full((5, 4), 0.25)
shows = not torch.allclose(F.kl_div(x, t, reduction="batchmean"), F.kl_div(x.expand(5, 4), t, reduction="batchmean"))""",
    ),
    Report(
        52241,
        "CTCLoss: the gradient is that in the logits before a log_softmax",
        "divergences:ctc-gradient-before-softmax",
        """
x = torch.tensor([[0.5, 0.5]]).log().requires_grad_()
F.ctc_loss(x, torch.tensor([1]), torch.tensor(1), torch.tensor(1)).backward()
shows = abs(x.grad[0, 0].item()) > 1e-3  # no path uses the blank""",
    ),
    Report(
        82545,
        "CTCLoss: the gradient is not that of differences",
        "divergences:ctc-gradient-before-softmax",
        """
x = torch.zeros(5, 3, dtype=torch.float64).log_softmax(1).requires_grad_()
def loss(x): return F.ctc_loss(x, torch.tensor([1, 1]), torch.tensor(5), torch.tensor(2))
g, step = torch.autograd.grad(loss(x), x)[0], torch.zeros(5, 3, dtype=torch.float64).index_fill_(0, torch.tensor(0), 1e-6)
shows = ((loss(x + step) - loss(x - step)) / 2e-6 - g[0].sum()).abs().item() > 1e-3""",
    ),
    Report(
        127608,
        "CTCLoss: the gradient is as if log_probs were normalised again",
        "divergences:ctc-gradient-before-softmax",
        """
x = torch.tensor([[0.5, 0.5]]).log().requires_grad_()
g, = torch.autograd.grad(F.ctc_loss(x, torch.tensor([1]), torch.tensor(1), torch.tensor(1)), x)
shows = g.sum().abs().item() < 1e-6  # of the one path it is -1""",
    ),
    Report(
        181534,
        "CTCLoss: gradcheck fails",
        "derivative_habits:ctc_gradient_before_softmax",
        """
x = torch.zeros(5, 3).log_softmax(1).double().requires_grad_()
def loss(x): return F.ctc_loss(x, torch.tensor([1, 1]), torch.tensor(5), torch.tensor(2))
shows = not torch.autograd.gradcheck(loss, x, raise_exception=False)""",
    ),
    Report(
        115786,
        "CosineEmbeddingLoss: of a short vector in float64 the cosine is off by 7 %",
        "divergences:cosine-eps*",
        """
a, b = torch.tensor([[2.0, 1.0]], dtype=torch.float64), torch.tensor([[3e-9, 4e-9]], dtype=torch.float64)
shows = abs(F.cosine_embedding_loss(a, b, torch.ones(1)).item() - (1 - 2 / 5**0.5)) > 1e-3""",
    ),
    Report(
        184036,
        "TripletMarginLoss: NaN for p = 100 and numbers of 10",
        "range_divergences:powers-leave-the-format",
        """
x = torch.full((1, 2), 10.0)
shows = F.triplet_margin_loss(x, 0 * x, -x, p=100.0).isnan().item()""",
    ),
    Report(
        184574,
        "HingeEmbeddingLoss: at its bound clamp_min has the slope 1",
        "special_divergences:clamp-at-tie",
        """
x = torch.tensor([1.0], requires_grad=True)
F.hinge_embedding_loss(x, torch.tensor([-1.0])).backward()
shows = x.grad.item() != 0""",
        torch="<2.14",
    ),
    Report(
        170745,
        "PoissonNLLLoss: of integers beside float64, Stirling's term is computed in float32",
        "dtype_departures:poisson_of_integers_is_float32_inside",
        """
x, n = torch.zeros(1, dtype=torch.float64), torch.tensor([70000])
integers, numbers = (F.poisson_nll_loss(x, count, full=True) for count in (n, n.double()))
shows = (integers - numbers).abs().item() > 0.01""",
    ),
    Report(
        80206,
        "SoftMarginLoss: of labels in bytes the gradient is wrong",
        "dtype_departures:soft_margin_target_of_bytes_wraps",
        """
x = torch.ones(1, requires_grad=True)
F.soft_margin_loss(x, torch.ones(1, dtype=torch.uint8)).backward()
shows = not torch.allclose(x.grad, torch.tensor([-0.2689]), atol=1e-3)""",
    ),
)
