"""Do the benchmarks tell identical from slower, right from wrong, and can their verdicts be recomputed?"""

from __future__ import annotations

import json
import math
import types
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import repeats, report
from benchmarks.canaries import Canary
from benchmarks.clock import HostClock, Sample
from benchmarks.duel import Calls, Duel, Slowed, confirmed, verdict_of
from benchmarks.footprint import footprint
from benchmarks.paths import function, unfused
from benchmarks.releases import Row as ReleaseRow
from benchmarks.releases import unlike
from benchmarks.results import Result
from benchmarks.run import Row, Run, rival_of, rows
from benchmarks.step import Step, inputs_of
from benchmarks.verdict import CONFIDENCE, Pair, judge, judge_pairs, resampled, signs, undisturbed, upper_bound
from benchmarks.verify import check, refusal
from benchmarks.workloads import TIERS, WORKLOADS, Case, Workload, cases

CPU = torch.device("cpu")
CASES = {case.id: case for case in cases(TIERS)}
MNIST = CASES["cross_entropy-mnist-float32-both"]


class FakeClock:
    """Time as the tests will have it: what a task costs, times a drift that both meet, times noise of its own."""

    name = "fake"

    def __init__(self, noise: float = 0.02, seed: int = 0) -> None:
        self.rng, self.noise, self.drift = np.random.default_rng(seed), noise, 1.0

    def sample(self, timed: Callable[[], Any], calls: int) -> Sample:
        """The cost of the timed thunk, which is all it returns."""
        self.drift *= math.exp(self.rng.normal(0, 0.05))
        seconds = timed() * self.drift * math.exp(self.rng.normal(0, self.noise)) / calls
        return Sample(seconds, seconds, 0.0, 0)


class Costs:
    """A task that costs so many seconds a call."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def prepare(self, calls: int) -> Any:
        """All it does is say what it cost."""
        return lambda: self.seconds * calls


def duel(task: float, rival: float, *, noise: float = 0.02, seed: int = 0, pairs: int = 300) -> Duel:
    """A duel on the fake clock."""
    return Duel(Costs(task), Costs(rival), FakeClock(noise, seed), seed=seed).run(pairs)  # type: ignore[arg-type]


# -- verdicts ---------------------------------------------------------------------------------------------------


def test_identical_code_is_not_flagged() -> None:
    """Under a drift of 5 % from sample to sample, none of 50 twins is called slower or faster than the other."""
    words = [duel(1e-3, 1e-3, seed=seed, pairs=60).verdict.word for seed in range(50)]
    assert not {"slower", "faster"} & set(words)


@pytest.mark.parametrize(("factor", "word"), [(1.05, "slower"), (1.10, "slower"), (1 / 1.05, "faster")])
def test_a_difference_of_5_percent_is_flagged(factor: float, word: str) -> None:
    """However the times drift, the ratio of pairs shows it."""
    assert [duel(factor * 1e-3, 1e-3, seed=seed).verdict.word for seed in range(5)] == [word] * 5


@pytest.mark.parametrize(
    ("factors", "word"),
    [
        ((1.06, 1.0), ("same", "undecided")),  # of tasks that lie elsewhere it is gone
        ((1.06, 1 / 1.06), ("undecided",)),
        ((1.06, 1.05), ("slower",)),
        ((1 / 1.06, 1 / 1.05), ("faster",)),
        ((1.3, None), ("slower",)),  # plain: not asked again
        ((1.0, None), ("same",)),
    ],
)
def test_a_difference_is_seen_twice(factors: tuple[float, float | None], word: tuple[str, ...]) -> None:
    """Less than 10 % is claimed only if tasks made afresh show it too."""
    first, second = (None if f is None else duel(f * 1e-3, 1e-3, seed=seed, pairs=100) for seed, f in enumerate(factors))
    assert first is not None

    def afresh() -> Duel:
        assert second is not None, "asked again"
        return second

    assert verdict_of(confirmed(first, afresh, 0.0)).word in word


def test_a_contaminated_duel_is_fought_again() -> None:
    """And its numbers have no part in the verdict."""
    first = duel(1e-3, 1e-3)
    first.pairs = [(own, replace(other, wall=2 * other.wall)) for own, other in first.pairs]
    assert first.verdict.word == "same"  # on a device's clock, where walls mean nothing
    first.clock, second = HostClock(), duel(1.3e-3, 1e-3, seed=1)
    assert first.verdict.word == "contaminated"
    assert confirmed(first, lambda: second, 0.0) == [second]


def test_the_interval_covers_the_truth() -> None:
    """Of 100 intervals for a ratio of 1.2, about as many miss it as the confidence says."""
    rng = np.random.default_rng(0)
    found = [judge([math.log(1.2) + rng.laplace(0, 0.1, 60)]) for _ in range(100)]
    assert sum(not v.low <= 1.2 <= v.high for v in found) <= 100 * (1 - CONFIDENCE) * 6


@pytest.mark.parametrize("pairs", [1, 2, 7, 40])
def test_resampled_medians_are_those_of_resamples(pairs: int) -> None:
    """Their quantiles are those of medians of samples that were drawn, odd and even."""
    rng = np.random.default_rng(3)
    logs = rng.laplace(0, 1, pairs)
    drawn = np.median(rng.choice(logs, (20_000, pairs)), axis=1)
    found = resampled(logs, rng, 20_000)
    cuts = np.quantile(drawn, [0.05, 0.25, 0.5, 0.75, 0.95])
    shares = [[np.mean(medians <= cut + 1e-12) for cut in cuts] for medians in (found, drawn)]
    assert np.allclose(*shares, atol=0.02)


def test_what_could_be_missed_is_said() -> None:
    """Few noisy pairs are undecided, and a slowdown of the size that they print is found 9 times in 10."""
    rng = np.random.default_rng(1)
    verdict = judge([rng.normal(0, 0.2, 40)])
    assert verdict.word == "undecided"
    assert "could have missed" in str(verdict)
    shift = math.log1p(float(np.median([judge([rng.normal(0, 0.2, 40)]).detectable for _ in range(20)])))
    assert sum(judge([shift + rng.normal(0, 0.2, 40)]).word == "slower" for _ in range(50)) >= 40


def test_a_path_that_waited_alone_is_contaminated() -> None:
    """Wall time over CPU time of 2 in one of the two only: no verdict."""
    pairs: list[Pair] = [(1.2, 2.4, 0.0, 0, 1.0, 1.0, 0.0, 0)] * 50
    assert judge_pairs([pairs]).word == "contaminated"
    both: list[Pair] = [(1.2, 2.4, 0.0, 0, 1.0, 2.0, 0.0, 0)] * 50
    assert judge_pairs([both]).word == "slower"


def test_preempted_pairs_are_set_aside_where_they_spread_more() -> None:
    """Half of the pairs lost the processor, and say nothing; the other half decide."""
    rng = np.random.default_rng(2)
    calm: list[Pair] = [(1 + rng.normal(0, 0.01), 1.0, 0.0, 0, 1.0, 1.0, 0.0, 0) for _ in range(50)]
    hit: list[Pair] = [(math.exp(rng.normal(0, 0.7)), 1.0, 0.0, 1, 1.0, 1.0, 0.0, 0) for _ in range(50)]
    assert undisturbed(calm + hit) == calm
    assert undisturbed(hit + calm[:10]) == hit + calm[:10]  # too few to judge by


def test_launches_differ_by_more_than_their_own_error() -> None:
    """Five processes, each certain of itself, disagree: the interval is as wide as their disagreement."""
    logs = [np.full(60, at) for at in (-0.04, -0.02, 0.0, 0.03, 0.05)]
    verdict = judge(logs)
    assert verdict.low < 0.97
    assert verdict.high > 1.03
    assert verdict.word == "undecided"


def test_another_process_tells_paths_apart_by_more_than_twins() -> None:
    """Of twins another run finds the ratio as near as their pairs say; of two paths up to a fifth away."""
    verdict = judge([np.random.default_rng(0).normal(0, 0.01, 100)])
    twins, paths = (verdict.another(twins=twins) for twins in (True, False))
    assert paths[0] < 0.85 < 0.99 < twins[0] <= verdict.low <= verdict.high <= twins[1] < 1.01 < 1.15 < paths[1]


def test_runs_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of two reports it is said how far apart their ratios are; one alone is refused."""
    files = []
    for seed in (0, 1):
        files += [tmp_path / f"{seed}.json"]
        files[-1].write_text(json.dumps(report.data(_measured(seed))))
    assert repeats.main([str(file) for file in files]) == 0
    said = capsys.readouterr().out
    assert "twins: 1 pairs of runs of a row" in said
    assert "unfused: 1 pairs of runs of a row" in said
    assert "in the other's interval 2 of 2" in said
    with pytest.raises(SystemExit):
        repeats.main([str(files[0])])
    assert "one report given" in capsys.readouterr().err


def test_signs_and_upper_bound_are_exact() -> None:
    """Eight launches that agree have a chance of 2/256; no false alarm in 300 bounds the rate below 1 %."""
    assert signs([[0.03]] * 8) == 2 / 256
    assert signs([[0.03]] * 4 + [[-0.03]] * 4) == 1.0
    assert upper_bound(0, 300) == pytest.approx(1 - 0.05 ** (1 / 300), rel=1e-6)


# -- the real clock ---------------------------------------------------------------------------------------------


def test_a_slowed_twin_makes_the_calls_it_hides() -> None:
    """21 calls where it says 20."""
    made: list[int] = []
    Slowed(Calls(lambda: made.append(1)), 0.05).prepare(20)()
    assert len(made) == 21


def test_samples_are_long_enough_and_in_random_order() -> None:
    """Small calls are batched to a millisecond, and either of the two goes first."""
    torch.set_num_threads(1)
    x = torch.ones(1000)
    order: list[str] = []

    def named(name: str) -> Calls:
        return Calls(lambda: order.extend([name] if x.sum() else []))

    found = Duel(named("task"), named("rival"))
    order.clear()
    found.run(12)
    assert all(own.seconds * found.calls[0] > 0.5e-3 for own, _ in found.pairs)
    batches = [name for name, before in zip(order, ["", *order], strict=False) if name != before]
    assert 12 < len(batches) < 24  # neighbours of the same name merge: in a fixed order there would be 24


# -- right before fast ------------------------------------------------------------------------------------------


def planted(factor: float) -> Any:
    """A namespace whose cross entropy is off by a factor."""
    return types.SimpleNamespace(cross_entropy=lambda *a, **k: factor * torch.nn.functional.cross_entropy(*a, **k))


@pytest.mark.parametrize("factor", [2.0, -1.0, 1 + 1e-5, math.nan])
def test_a_wrong_path_is_refused_before_it_is_timed(factor: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of 1e-5 in a path is seen at the benchmark's own inputs, and nothing of it is timed."""
    monkeypatch.setattr("benchmarks.run.canaries", lambda *a, **k: [])
    monkeypatch.setattr("benchmarks.run.function", lambda path, loss: planted(factor).cross_entropy)
    run = Run(CPU, retain=False)
    timed: list[Duel] = []
    result = run.measure(Row(MNIST, "fused"), lambda duel, rounds: timed.append(duel))
    assert not timed
    assert result.verdict is None
    assert "wrong" in " ".join(report.table(run))


def test_a_path_that_raises_is_refused() -> None:
    """Whatever it raises, the row says so."""

    def broken(**_: Any) -> torch.Tensor:
        raise RuntimeError("no such kernel")

    checked = check(Step(broken, MNIST, inputs_of(MNIST, CPU)))
    assert refusal("row", "cpu", checked) == "raises RuntimeError: no such kernel"


def test_gradients_are_verified_too() -> None:
    """A path with the right value and half the gradient is wrong."""

    def half(input: torch.Tensor, **more: Any) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(0.5 * input + 0.5 * input.detach(), **more)

    assert "input" in refusal("row", "cpu", check(Step(half, MNIST, inputs_of(MNIST, CPU))))


@pytest.mark.parametrize("loss", sorted({w.loss for w in WORKLOADS}))
def test_the_unfused_path_offers_every_loss(loss: str) -> None:
    """Each workload has a composition of elementary operations, right at the smallest shape it has here."""
    workload = min((w for w in WORKLOADS if w.loss == loss), key=lambda w: math.prod(w.axes.values()))
    small = {axis: min(size, {"T": 24, "S": 6}.get(axis, 12)) for axis, size in workload.axes.items()}
    shrunk = Workload(
        "shrunk", loss, small, "", choices=workload.choices, options=workload.options, scales=workload.scales
    )
    case = Case(shrunk, "float32", "both")
    found = check(Step(getattr(unfused, loss), case, inputs_of(case, CPU)))
    assert not refusal(f"{loss}-shrunk-float32-both-unfused", "cpu", found)


# -- rows and reports -------------------------------------------------------------------------------------------


def test_row_ids_are_unique_and_plain() -> None:
    """What `-k` matches."""
    ids = [row.id for row in rows(list(CASES.values()), ("fused", "unfused"))]
    assert len(ids) == len(set(ids))
    assert all(set(i) <= set("abcdefghijklmnopqrstuvwxyz0123456789_-") for i in ids)


def test_every_path_is_held_against_torchs_own() -> None:
    """Where torch has the loss; the focal loss, which it lacks, against the composition."""
    assert rival_of(MNIST) == "fused"
    assert rival_of(CASES["sigmoid_focal_loss-detection-float32-both"]) == "unfused"
    assert function("chunked", "mse_loss") is None


def test_memory_and_kernels_are_exact() -> None:
    """Of a squared difference in elementary operations: the same each time, and its arrays can be counted."""
    case = CASES["mse_loss-1e4-float32-both"]
    step = Step(unfused.mse_loss, case, inputs_of(case, CPU))
    first, second = footprint(step), footprint(step)
    assert first == second
    assert first.kernels[:3] == ("sub.Tensor", "pow.Tensor_Scalar", "mean")
    assert 120_000 <= first.peak <= 240_000  # three to six arrays of 40,000 bytes


def _measured(seed: int = 0) -> Run:
    run = Run.__new__(Run)
    run.__dict__ |= {
        "device": CPU,
        "results": [],
        "canaries": [],
        "used": set(),
        "retained": False,
        "began": 0.0,
        "load_before": 0.0,
    }
    run.__dict__ |= {
        "seed": 0,
        "repeat": "pytest benchmarks",
        "cache": types.SimpleNamespace(start_up=0.0, close=lambda: None),
    }
    for path, factor in (("fused", 1.0), ("unfused", 1.5)):
        fought = duel(factor * 1e-3, 1e-3, seed=seed)
        about = {
            "loss": "l",
            "workload": "w",
            "about": "a",
            "shape": "2 x 3",
            "dtype": "float32",
            "mode": "both",
            "device": "cpu",
        }
        sizes = {"elements": 6, "input_bytes": 48, "must_move": 72, "checked": 0.5, "least_seconds": 1e-4}
        row = Result(id=f"l-w-float32-both-{path}", path=path, rival="fused", repeat="x", **about, **sizes)  # type: ignore[arg-type]
        row.launches, row.verdict, row.load = [fought.raw], judge_pairs([fought.raw]), 0.0
        run.results.append(row)
    return run


def test_a_verdict_can_be_recomputed_from_the_file() -> None:
    """The raw pairs that the JSON holds give the verdict that the table printed."""
    kept = json.loads(json.dumps(report.data(_measured())))
    for row in kept["rows"]:
        again = judge_pairs(row["launches"])
        assert (again.word, again.ratio, again.low) == (
            row["verdict"]["word"],
            row["verdict"]["ratio"],
            row["verdict"]["low"],
        )


def test_the_terminal_table_fits_120_columns() -> None:
    """Every line of it."""
    assert max(map(len, report.table(_measured()))) <= 120


def test_a_silent_canary_takes_every_verdict_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A twin slowed by 5 % that was not noticed means that nothing was."""
    run = _measured()
    missed = Canary("twin slowed by 5%", "slower", duel(1e-3, 1e-3).verdict)
    monkeypatch.setattr("benchmarks.run.canaries", lambda *a, **k: [missed])
    assert "twin slowed by 5%" in run.close()
    assert {r.verdict.word for r in run.results if r.verdict} == {"contaminated"}


@pytest.mark.parametrize("quick", cases(("quick",)), ids=lambda case: case.id)
@pytest.mark.parametrize("path", ["fused", "unfused"])
def test_the_quick_rows_are_timed(path: str, quick: Case) -> None:
    """A budget that was made stricter may leave a path without its row."""
    made = function(path, quick.workload.loss)
    assert made is not None
    assert not refusal(f"{quick.id}-{path}", "cpu", check(Step(made, quick, inputs_of(quick, CPU))))


# -- releases ---------------------------------------------------------------------------------------------------


def _pairs(shift: float, seed: int) -> list[Pair]:
    logs = np.random.default_rng(seed).normal(shift, 0.01, 40)
    return [(float(np.exp(x)), 1.0, 0.0, 0, 1.0, 1.0, 0.0, 0) for x in logs]


def test_a_release_is_slower_only_if_fresh_launches_repeat_it() -> None:
    """A difference on the screen that half of the fresh launches do not show is no difference."""
    row = ReleaseRow("case", launches=[_pairs(0.06, i) for i in range(5)])
    assert row.verdict.word == "slower"
    row.fresh = [_pairs(0.06, 10 + i) for i in range(8)]
    assert row.verdict.word == "slower"
    assert row.agreeing == 8
    row.fresh = [_pairs(0.06 if i % 2 else -0.01, 20 + i) for i in range(8)]
    assert row.verdict.word not in ("slower", "faster")


def test_unlike_environments_and_structure_are_said() -> None:
    """Another instruction set, and an operator that another replaced, are named."""
    assert list(unlike({"instruction set": "AVX2", "torch": "2.6"}, {"instruction set": "AVX512", "torch": "2.7"})) == [
        "UNLIKE instruction set: AVX2 against AVX512"
    ]
    row = ReleaseRow(
        "case",
        made=({"operators": ["ge"], "peak": 8, "results": "a"}, {"operators": ["gt"], "peak": 8, "results": "a"}),
    )
    assert row.structure == ["operators: -ge +gt"]
