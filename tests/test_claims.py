"""Is what an introduction says about these losses true, of torch and of the specification?

Each claim is put to both sides. Where two ways to compute one number are compared, they may differ by the roundings
of either: so many, as reference.accuracy argues, of the terms that are added up.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import reference
from reference.accuracy import K
from reference.arithmetic import FloatArray, log_softmax

U = 2.0**-53
Side = Callable[..., tuple[FloatArray, FloatArray]]


def of_torch(loss: str, input: FloatArray, target: FloatArray, **options: object) -> tuple[FloatArray, FloatArray]:
    """A loss of torch in float64, and its gradient in the input."""
    x = torch.tensor(input, requires_grad=True)
    value = getattr(F, loss)(x, torch.tensor(target), **options)
    (slope,) = torch.autograd.grad(value.sum(), x)
    return value.detach().numpy(), slope.numpy()


def of_reference(loss: str, input: FloatArray, target: FloatArray, **options: object) -> tuple[FloatArray, FloatArray]:
    """The same of the specification."""
    found = getattr(reference, loss)(input, target, **options)
    return found.value, found.gradients["input"]


on_both_sides = pytest.mark.parametrize("side", [of_torch, of_reference], ids=["torch", "reference"])
outliers = pytest.mark.parametrize("outlier", [5.0, 1005.0, 1e12], ids=lambda x: f"{x:g}")


def agree(a: FloatArray, b: FloatArray, terms: FloatArray, added: int = 1) -> None:
    """Assert that two ways to add up the same terms differ by their roundings alone."""
    assert np.all(abs(a - b) <= 2 * (K + math.log2(added)) * U * terms), (a, b)


def softmax(x: FloatArray) -> FloatArray:
    """The distribution of some logits."""
    return np.exp(log_softmax(x))


# -- regression -------------------------------------------------------------------------------------------------


def pull(side: Side, loss: str, at: float, targets: FloatArray) -> float:
    """Which way, and how hard, the targets pull a constant prediction: the derivative of their summed loss."""
    return float(side(loss, np.full(len(targets), at), targets, reduction="sum")[1].sum())


@on_both_sides
@outliers
def test_mae_is_robust_to_an_outlier(side: Side, outlier: float) -> None:
    """The best constant is the median: 3, however far away the largest of the five targets is."""
    targets = np.array([1.0, 2.0, 3.0, 4.0, outlier])
    assert pull(side, "l1_loss", 3 - 2**-20, targets) == -1
    assert pull(side, "l1_loss", 3 + 2**-20, targets) == 1


@on_both_sides
@outliers
def test_mse_is_not(side: Side, outlier: float) -> None:
    """The best constant is the mean, which one target takes along as far as it likes."""
    targets = np.array([1.0, 2.0, 3.0, 4.0, outlier])
    assert pull(side, "mse_loss", targets.mean(), targets) == 0
    assert pull(side, "mse_loss", 3.0, targets) == 2 * (5 - outlier)


@on_both_sides
@pytest.mark.parametrize("error", [2.0**-60, 0.5, 1.0, 3.0, 2.0**60], ids=lambda x: f"{x:g}")
def test_the_mae_gradient_is_constant_and_the_mse_gradient_grows(side: Side, error: float) -> None:
    """Of an error of any size: its sign, and twice itself."""
    errors = np.array([error, -error])
    assert side("l1_loss", errors, np.zeros(2), reduction="sum")[1].tolist() == [1, -1]
    assert side("mse_loss", errors, np.zeros(2), reduction="sum")[1].tolist() == [2 * error, -2 * error]


@on_both_sides
def test_huber_is_both(side: Side) -> None:
    """Quadratic where the error is small, so that its gradient shrinks; linear where it is large."""
    errors = np.array([2.0**-10, 0.5, 1.0, 2.0, 2.0**60])
    slopes = side("huber_loss", errors, np.zeros(5), reduction="sum")[1]
    assert slopes.tolist() == [2.0**-10, 0.5, 1, 1, 1]


# -- information ------------------------------------------------------------------------------------------------


@on_both_sides
def test_a_rare_event_tells_more(side: Side) -> None:
    """Information is -log p: 0 of a certain event, more the rarer it is, and it adds up over independent ones."""
    p = np.array([1.0, 0.5, 0.25, 0.125])
    told = side("nll_loss", np.log(np.stack([p, 1 - p + (p == 1)], axis=1)), np.zeros(4, int), reduction="none")[0]
    assert told[0] == 0
    assert np.all(np.diff(told) > 0)
    agree(told[1] + told[2], told[3], told[3])
    agree(told, np.log(2) * np.arange(4), told)


@on_both_sides
@pytest.mark.parametrize("classes", [1, 2, 10, 50_000])
def test_an_untrained_classifier_starts_at_log_c(side: Side, classes: int) -> None:
    """Equal logits are the uniform distribution, whose entropy is log C: so is the loss, whatever the class."""
    for logit in (0.0, -3.5):
        got = side("cross_entropy", np.full((1, classes), logit), np.array([classes // 2]))[0]
        agree(got, np.asarray(math.log(classes)), np.asarray(abs(logit) + math.log(classes)), classes)
    uniform = np.full(classes, 1 / classes)
    agree(reference.entropy(uniform).value, np.asarray(math.log(classes)), np.asarray(math.log(classes)), classes)


def test_the_uniform_distribution_has_the_most_entropy() -> None:
    """A certain outcome has none, a fair coin one bit, and no distribution over n outcomes more than log2 n bits."""
    assert reference.entropy([0.0, 1.0], base=2).value == 0
    assert reference.entropy([0.5, 0.5], base=2).value == 1
    for p in softmax(np.random.default_rng(0).normal(size=(100, 8))):
        assert 0 < reference.entropy(p, base=2).value < 3


@on_both_sides
def test_the_divergence_is_a_divergence(side: Side) -> None:
    """Never negative, 0 only of a distribution from itself, and not the same in both directions."""
    p, q = np.array([[0.5, 0.25, 0.25]]), np.array([[0.25, 0.25, 0.5]])
    r = np.array([[0.75, 0.125, 0.125]])

    def divergence(a: FloatArray, b: FloatArray) -> float:
        return float(side("kl_div", np.log(b), a, reduction="batchmean")[0])

    assert divergence(p, p) == divergence(q, q) == 0
    assert divergence(p, r) > divergence(r, p) > 0
    agree(np.asarray(divergence(p, q)), np.asarray(math.log(2) / 4), np.asarray(2 * math.log(4)), 3)
    for a, b in softmax(np.random.default_rng(1).normal(size=(100, 2, 1, 5))):
        assert divergence(a, b) > 0


# -- cross entropy ----------------------------------------------------------------------------------------------

FIXED = {
    "soft": np.array([[0.5, 0.25, 0.125, 0.125]]),
    "with-a-zero": np.array([[0.0, 0.75, 0.125, 0.125]]),
    "one-hot": np.array([[0.0, 0.0, 1.0, 0.0]]),
    "uniform": np.array([[0.25, 0.25, 0.25, 0.25]]),
}
every_distribution = pytest.mark.parametrize("p", FIXED.values(), ids=FIXED)


@on_both_sides
@every_distribution
def test_to_minimise_cross_entropy_is_to_minimise_the_divergence(side: Side, p: FloatArray) -> None:
    """All the way down, cross entropy = entropy + divergence: the first is fixed, so both fall by as much."""
    x = np.array([[1.0, -2.0, 0.5, 3.0]])
    entropy = reference.entropy(p).value.sum()
    divergences = []
    for _ in range(60):
        cross, slope = side("cross_entropy", x, p)
        log_q = log_softmax(x)
        divergence = side("kl_div", log_q, p, reduction="batchmean")[0]
        agree(cross, entropy + divergence, (p * abs(log_q)).sum() + (p * abs(x)).sum() + 2 * entropy, p.size)
        divergences.append(float(divergence))
        x = x - slope
    assert np.all(np.diff(divergences) < 0)


@every_distribution
def test_both_have_the_same_gradient(p: FloatArray) -> None:
    """In the logits, softmax(x) - p: through torch's cross entropy, its KLDiv of log_softmax, and the specification."""
    x = np.array([[1.0, -2.0, 0.5, 3.0]])
    logits = torch.tensor(x, requires_grad=True)
    divergence = F.kl_div(F.log_softmax(logits, dim=1), torch.tensor(p), reduction="batchmean")
    (through_divergence,) = torch.autograd.grad(divergence, logits)
    for side in (of_torch, of_reference):
        agree(side("cross_entropy", x, p)[1], through_divergence.numpy(), softmax(x) + p, p.size)
    q = softmax(x)
    costs = reference.cross_entropy_of(p, q), reference.kl_divergence(p, q)
    assert np.array_equal(costs[0].gradients["q"], costs[1].gradients["q"])


@on_both_sides
def test_cross_entropy_is_least_at_the_distribution_itself(side: Side) -> None:
    """There its gradient is 0 and its value the entropy; no other logits do better."""
    p = FIXED["soft"]
    least, slope = side("cross_entropy", np.log(p), p)
    entropy = reference.entropy(p).value.sum()
    agree(least, entropy, np.asarray(entropy), p.size)
    agree(slope, np.zeros_like(p), p, p.size)
    for x in np.random.default_rng(2).normal(size=(100, 1, 4)):
        assert side("cross_entropy", x, p)[0] > entropy


@on_both_sides
def test_cross_entropy_is_the_information_of_the_true_class(side: Side) -> None:
    """LogSoftmax, then the log-probability of one class: NLLLoss; a one-hot distribution says the same."""
    x, index = np.random.default_rng(3).normal(size=(20, 7)), np.arange(20) % 7
    found = side("cross_entropy", x, index, reduction="none")[0]
    terms = abs(x).max(axis=1) + found
    agree(found, side("nll_loss", log_softmax(x), index, reduction="none")[0], terms, 7)
    agree(found, side("cross_entropy", x, np.eye(7)[index], reduction="none")[0], terms, 7)


# -- yes or no --------------------------------------------------------------------------------------------------

# a logit per dtype whose sigmoid is nearer to 1 than to any other number: log(2 / unit roundoff), rounded up
SATURATED = [(torch.bfloat16, 8.0), (torch.float16, 10.0), (torch.float32, 20.0), (torch.float64, 40.0)]
when_saturated = pytest.mark.parametrize(("dtype", "logit"), SATURATED, ids=[str(d)[6:] for d, _ in SATURATED])


def of_logit(x: float, target: float, dtype: torch.dtype) -> tuple[float, float]:
    """BCEWithLogits and its derivative."""
    logit = torch.tensor([x], dtype=dtype, requires_grad=True)
    value = F.binary_cross_entropy_with_logits(logit, torch.tensor([target], dtype=dtype))
    value.backward()
    assert logit.grad is not None
    return value.item(), logit.grad.item()


def of_sigmoid(x: float, target: float, dtype: torch.dtype) -> tuple[float, float]:
    """Sigmoid, then BCE, and the derivative of both in the logit."""
    logit = torch.tensor([x], dtype=dtype, requires_grad=True)
    value = F.binary_cross_entropy(torch.sigmoid(logit), torch.tensor([target], dtype=dtype))
    value.backward()
    assert logit.grad is not None
    return value.item(), logit.grad.item()


@when_saturated
def test_bce_with_logits_survives_where_sigmoid_then_bce_does_not(dtype: torch.dtype, logit: float) -> None:
    """A confident mistake: sigmoid says exactly 1, so BCE says 100, its clamp, and has no gradient to learn from."""
    value, slope = of_sigmoid(logit, 0.0, dtype)
    assert value == 100
    if dtype == torch.float16:  # BCE divides by at least 1e-12, which is 0 there
        assert math.isnan(slope)
    else:
        assert slope == 0
    assert of_logit(logit, 0.0, dtype) == (logit, 1)


@when_saturated
def test_bce_with_logits_fails_where_sigmoid_then_bce_does_not(dtype: torch.dtype, logit: float) -> None:
    """Confident and right about a 0: torch adds x to log(1 + exp(-x)), and nothing is left of the loss exp(-x)."""
    truth = math.exp(-logit)  # log(1 + exp(-x)), within u of it
    u = torch.finfo(dtype).eps / 2
    (stable, slope), (naive, _) = of_logit(-logit, 0.0, dtype), of_sigmoid(-logit, 0.0, dtype)
    assert stable == 0, "torch no longer loses the loss of a confident 0: this claim, and the README's, is out of date"
    assert abs(naive - truth) <= K * u * truth + torch.finfo(dtype).smallest_normal * u
    assert abs(slope - truth) <= K * u * truth + torch.finfo(dtype).smallest_normal * u  # it would still learn
    assert abs(of_logit(logit, 1.0, dtype)[0] - truth) <= K * u * truth  # and in the mirror image it is right


@pytest.mark.parametrize("logit", [-30.0, -40.0, -80.0])
def test_sigmoid_then_bce_forgets_confident_mistakes_about_a_1(logit: float) -> None:
    """The loss is right, but BCE divides by p (1 - p), or 1e-12 if that is more: the gradient fades from -28 on."""
    value, slope = of_sigmoid(logit, 1.0, torch.float32)
    assert abs(value + logit) <= 2 * K * 2.0**-24 * -logit
    assert -0.1 < slope < 0
    assert of_logit(logit, 1.0, torch.float32) == (-logit, -1)


@on_both_sides
def test_bce_is_the_same_loss_of_the_probability(side: Side) -> None:
    """Where nothing saturates, sigmoid then BCE is BCEWithLogits."""
    x, target = np.linspace(-4, 4, 17), np.linspace(0, 1, 17)
    found = side("binary_cross_entropy_with_logits", x, target, reduction="none")[0]
    got = side("binary_cross_entropy", 1 / (1 + np.exp(-x)), target, reduction="none")[0]
    odds = np.exp(abs(x))  # what a rounding of p near 1 is worth in 1 - p
    agree(found, got, abs(x) + found + odds)


@on_both_sides
def test_a_multi_label_loss_is_the_mean_of_binary_ones(side: Side) -> None:
    """One yes or no per class: MultiLabelSoftMargin, row by row, and BCEWithLogits, over all."""
    rng = np.random.default_rng(4)
    x, target = rng.normal(size=(6, 5)), rng.integers(0, 2, size=(6, 5)).astype(float)
    each = np.array(
        [[side("binary_cross_entropy_with_logits", x[n, [c]], target[n, [c]])[0] for c in range(5)] for n in range(6)]
    )
    terms = abs(x) + each
    got = side("multilabel_soft_margin_loss", x, target, reduction="none")[0]
    agree(got, each.mean(axis=1), terms.mean(axis=1), 5)
    agree(side("multilabel_soft_margin_loss", x, target)[0], each.mean(), terms.mean(), 30)
    agree(side("binary_cross_entropy_with_logits", x, target)[0], each.mean(), terms.mean(), 30)


# -- likelihoods ------------------------------------------------------------------------------------------------


@on_both_sides
def test_mse_is_the_likelihood_of_normal_noise(side: Side) -> None:
    """With a variance of 1, GaussianNLL is half the squared error; learnt, the variance is best at d**2."""
    x, target = np.array([1.5, 2.0, 3.25]), np.array([1.0, 2.5, 2.75])
    ones = np.ones(3) if side is of_reference else torch.ones(3, dtype=torch.float64)
    value, slope = side("gaussian_nll_loss", x, target, var=ones)
    squared, twice = side("mse_loss", x, target)
    assert value == squared / 2
    agree(slope, twice / 2, abs(twice))
    var = torch.tensor(abs(x - target) ** 2, requires_grad=True)
    F.gaussian_nll_loss(torch.tensor(x), torch.tensor(target), var, reduction="sum").backward()
    assert var.grad is not None
    assert var.grad.tolist() == [0, 0, 0]


@on_both_sides
def test_the_best_poisson_rate_is_the_count(side: Side) -> None:
    """There the slope is 0: below it the loss falls, above it it rises."""
    counts = np.array([1.0, 2.0, 7.0])
    slopes = [side("poisson_nll_loss", counts * f, counts, log_input=False, eps=1e-300)[1] for f in (0.5, 1.0, 2.0)]
    assert np.all(slopes[0] < 0)
    assert np.all(slopes[1] == 0)
    assert np.all(slopes[2] > 0)


@on_both_sides
def test_soft_margin_is_bce_with_logits_in_other_clothes(side: Side) -> None:
    """Targets -1 and 1 in place of 0 and 1."""
    x, yes = np.linspace(-3, 3, 13), np.arange(13) % 2
    want = side("binary_cross_entropy_with_logits", x, yes.astype(float), reduction="none")[0]
    agree(side("soft_margin_loss", x, 2.0 * yes - 1, reduction="none")[0], want, abs(x) + want)
