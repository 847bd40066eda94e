"""Reported upstream: what is missing or wrong in further derivatives, under a transform, or past one process."""

from __future__ import annotations

from .report import Report

TRANSFORMS = (
    Report(
        70108,
        "CTCLoss: no double backward",
        "derivative_habits:ctc_loss_once",
        """
x = torch.zeros(3, 1, 2).log_softmax(2).requires_grad_()
g, = torch.autograd.grad(F.ctc_loss(x, torch.tensor([[1]]), (3,), (1,)), x, create_graph=True)
try: torch.autograd.grad(g.pow(2).sum(), x); shows = False
except RuntimeError: shows = True""",
    ),
    Report(
        78961,
        "GaussianNLLLoss: forward mode sees the clamp of the variance",
        "derivative_habits:gaussian_nll_clamp_in_forward_mode",
        """
def loss(var): return F.gaussian_nll_loss(torch.ones(1), torch.zeros(1), var, eps=0.25)
var = torch.tensor([0.125])
shows = torch.func.jvp(loss, (var,), (torch.ones(1),))[1].item() != torch.func.grad(loss)(var).item()""",
    ),
    Report(
        112013,
        "MSELoss: no Hessian-vector product by forward over reverse",
        "derivative_habits:mse_mean_of_one_tangent",
        """
x = torch.ones(2)
def loss(x): return F.mse_loss(torch.nn.functional.linear(x, torch.eye(2)), torch.zeros(2))
try: torch.func.jvp(torch.func.grad(loss), (x,), (x,)); shows = False
except RuntimeError: shows = True""",
    ),
    Report(
        123996,
        "MSELoss: ZeroTensors are immutable",
        "derivative_habits:mse_mean_of_one_tangent",
        """
x, t = torch.tensor([1.0, 2.0]), torch.tensor([0.0, 1.0])
try: torch.func.jvp(torch.func.grad(lambda x: F.mse_loss(x, t)), (x,), (torch.ones(2),)); shows = False
except RuntimeError as error: shows = "ZeroTensors are immutable" in str(error)""",
    ),
    Report(
        162350,
        "CrossEntropyLoss: no backward through a tangent",
        "derivative_habits:log_softmax_spoils_what_it_keeps",
        """
import torch.autograd.forward_ad as fwad
x, y = torch.zeros(1, 2, requires_grad=True), torch.tensor([0])
with fwad.dual_level(): tangent = fwad.unpack_dual(F.cross_entropy(fwad.make_dual(x, torch.ones(1, 2)), y)).tangent
try: torch.autograd.grad(tangent, x); shows = False
except RuntimeError as error: shows = "inplace operation" in str(error)""",
    ),
    Report(
        192723,
        "MSELoss: no forward mode for a target of whole numbers",
        "dtype_habits:mse_loss_*",
        """
x, t = torch.tensor([0.5, 1.5]), torch.tensor([1, 0])
try: torch.func.jvp(lambda x: F.mse_loss(x, t), (x,), (torch.ones(2),)); shows = False
except RuntimeError: shows = True""",
    ),
    Report(
        192910,
        "HuberLoss: no forward mode for a target of whole numbers",
        "dtype_habits:huber_loss_goes_nowhere",
        """
x, t = torch.tensor([0.5, 1.5]), torch.tensor([1, 0])
try: torch.func.jvp(lambda x: F.huber_loss(x, t), (x,), (torch.ones(2),)); shows = False
except RuntimeError: shows = True""",
    ),
    Report(
        115347,
        "AdaptiveLogSoftmaxWithLoss: vmap of index_select by an index without axes gives too many rows",
        "derivative_habits:adaptive_cluster_of_one_row_size",
        """
shows = torch.vmap(lambda x: x.index_select(0, torch.tensor(1)))(torch.ones(3, 3)).shape != (3, 1)""",
    ),
    Report(
        139241,
        "MultiMarginLoss: no batching rule",
        "transform_habits:multi_margin_loss_has_no_batching_rule",
        """
import warnings
with warnings.catch_warnings(record=True) as heard:
    warnings.simplefilter("always")
    torch.vmap(F.multi_margin_loss)(torch.zeros(2, 1, 3), torch.zeros(2, 1, dtype=torch.long))
shows = any("batching rule" in str(each.message) for each in heard)""",
    ),
    Report(
        44724,
        "AdaptiveLogSoftmaxWithLoss: refused under autocast",
        "autocast_habits:adaptive_softmax_mixes_dtypes",
        """
loss = torch.nn.AdaptiveLogSoftmaxWithLoss(4, 6, [2])
try:
    with torch.autocast("cpu"): loss(torch.ones(2, 4), torch.tensor([0, 3])); shows = False
except RuntimeError: shows = True""",
    ),
    Report(
        141017,
        "MultiLabelMarginLoss: wrong when compiled",
        "compile_habits:multilabel_margin_decomposition",
        """
x, t = torch.tensor([[1.0, -1.0, 0.5]]), torch.tensor([[1, -1, -1]])
def loss(x): return F.multilabel_margin_loss(x, t)
shows = not torch.allclose(loss(x), torch.compile(loss, backend="aot_eager")(x))""",
        torch="<2.14",
    ),
    Report(
        186074,
        "MultiLabelMarginLoss: compiled, a row without a batch gets one",
        "compile_habits:margin_losses_keep_the_batch",
        """
def loss(x): return F.multilabel_margin_loss(x, torch.tensor([1, 0, -1]), reduction="none")
shows = torch.compile(loss, backend="aot_eager")(torch.zeros(3)).shape != loss(torch.zeros(3)).shape""",
    ),
    Report(
        183396,
        "CTCLoss: not to be compiled in one graph",
        "compile_habits:ctc_reads_the_lengths",
        """
def loss(x, n): return F.ctc_loss(x, torch.tensor([[1]]), n, torch.tensor([1]))
try: torch.compile(loss, backend="eager", fullgraph=True)(torch.zeros(5, 1, 3), torch.tensor([5])); shows = False
except Exception: shows = True""",
    ),
    Report(
        194503,
        "GaussianNLLLoss: not to be compiled in one graph",
        "compile_habits:gaussian_nll_looks_at_the_data",
        """
def loss(x): return F.gaussian_nll_loss(x, x, x)
try: torch.compile(loss, fullgraph=True, backend="eager")(torch.ones(2)); shows = False
except Exception: shows = True""",
    ),
    Report(
        194765,
        "AdaptiveLogSoftmaxWithLoss: not to be compiled in one graph",
        "compile_habits:adaptive_softmax_*",
        """
loss = torch.nn.AdaptiveLogSoftmaxWithLoss(4, 6, [2])
try: torch.compile(loss, fullgraph=True, backend="eager")(torch.ones(2, 4), torch.tensor([0, 3])); shows = False
except Exception: shows = True""",
    ),
    Report(
        193757,
        "BCELoss: compiled, targets outside of [0, 1] are accepted",
        "compiled_refusals:bce_range",
        """
def loss(target): return F.binary_cross_entropy(torch.ones(2), target)
try: torch.compile(loss, backend="aot_eager_decomp_partition")(torch.full((2,), 1.5)); shows = True
except RuntimeError: shows = False""",
    ),
    Report(
        194501,
        "SmoothL1Loss: compiled, a negative beta is accepted",
        "compiled_refusals:smooth_l1_beta",
        """
def loss(x): return F.smooth_l1_loss(x, 0 * x, beta=-1.0)
try: torch.compile(loss, backend="aot_eager_decomp_partition")(torch.ones(1)); shows = True
except RuntimeError: shows = False""",
    ),
    Report(
        197098,
        "HuberLoss: compiled, mixed dtypes give another dtype",
        "dtype_habits:rules_promote",
        """
x, t = torch.zeros(4, dtype=torch.bfloat16), torch.ones(4, dtype=torch.float16)
def loss(x, t): return F.huber_loss(x, t)
shows = torch.compile(loss, backend="aot_eager_decomp_partition")(x, t).dtype != loss(x, t).dtype""",
    ),
    Report(
        190746,
        "log_softmax under loss_parallel: what feeds no nll_loss has the gradient of the identity",
        "distributed_habits:probabilities_by_class",
        """
import torch.distributed as dist
from torch.distributed.tensor import Shard, distribute_tensor
from torch.distributed.tensor.parallel import loss_parallel
from torch.testing._internal.distributed.fake_pg import FakeStore
dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=1)
x, w = (distribute_tensor(t, dist.device_mesh.init_device_mesh("cpu", (1,)), [Shard(1)]) for t in (torch.zeros(2, 4), torch.eye(4)[:2]))
with loss_parallel(): (x.requires_grad_().log_softmax(1) * w).sum().backward()
shows = not torch.allclose(x.grad.to_local(), torch.eye(4)[:2] - 0.25)""",
        alone=True,
    ),
    Report(
        185167,
        "NLLLoss of a sharded batch: the mean of weighted means",
        "distributed_habits:mean_of_weighted_rows",
        """
import torch.distributed as dist
from torch.distributed._local_tensor import LocalTensorMode
from torch.distributed.tensor import Replicate, Shard, distribute_tensor
from torch.testing._internal.distributed.fake_pg import FakeStore
x, t, w = torch.tensor([[-3.0, 1], [2, 3], [4, 5], [6, 7]]), torch.tensor([0, 0, 1, 1]), torch.tensor([1.0, 9.0])
dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=2)
with LocalTensorMode(frozenset(range(2))):
    mesh = dist.device_mesh.init_device_mesh("cpu", (2,))
    given = (distribute_tensor(each, mesh, [how]) for each, how in ((x, Shard(0)), (t, Replicate()), (w, Replicate())))
    found = F.nll_loss(*given).full_tensor()._local_tensors[0]
shows = not torch.allclose(found, F.nll_loss(x, t, w))""",
        torch=">=2.10,<2.14",
        alone=True,
    ),
    Report(
        94086,
        "MSELoss: no Jacobian in forward mode for mixed dtypes",
        "dtype_habits:mse_loss_went_nowhere",
        """
x, t = torch.ones(1), torch.zeros(1, dtype=torch.float64)
try: torch.autograd.functional.jacobian(F.mse_loss, (x, t), vectorize=True, strategy="forward-mode"); shows = False
except RuntimeError: shows = True""",
        torch="<2.12",
    ),
    Report(
        40679,
        "BCELoss: not to be traced with a weight",
        "test_script:sizes_that_are_traced",
        """
p, loss = torch.full((3,), 0.5), torch.nn.BCELoss(torch.tensor([0.5, 0.75, 1.0]))
try: torch.jit.trace(loss, (p, p)); shows = False
except Exception: shows = True""",
        torch="<2.13",
    ),
    Report(
        86116,
        "BCELoss: nor with one without axes",
        "test_script:sizes_that_are_traced",
        """
p, loss = torch.full((3,), 0.5), torch.nn.BCELoss(torch.tensor(64.0))
try: torch.jit.trace(loss, (p, p)); shows = False
except Exception: shows = True""",
        torch="<2.13",
    ),
    Report(
        171282,
        "BCEWithLogitsLoss: compiled, a weight of another dtype gives another dtype",
        "dtype_habits:rule_of_bce_with_logits_promoted",
        """
x, w = torch.zeros(2, dtype=torch.bfloat16), torch.ones(2)
def loss(x): return F.binary_cross_entropy_with_logits(x, x, weight=w)
shows = loss(x).dtype != torch.compile(loss, backend="aot_eager_decomp_partition")(x).dtype""",
        torch="<2.12",
    ),
    Report(
        181870,
        "CrossEntropyLoss: not to be compiled for probabilities, weights and sizes that change",
        "export_habits:options_smoothed_probabilities_count_their_weights",
        """
def loss(x, t, w): return F.cross_entropy(x, t, weight=w)
try: torch.compile(loss, dynamic=True, backend="eager")(torch.zeros(3, 5), torch.zeros(3, 5), torch.ones(5)); shows = False
except Exception: shows = True""",
        torch="<2.13",
    ),
)
