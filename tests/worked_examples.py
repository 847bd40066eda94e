"""The worked examples of a well-known introduction to these losses: what it prints, and what is true.

`python -m tests.worked_examples` prints the README's table. An exact value is a closed form, worked out by hand
from the definition and the decimals as printed; it is evaluated with exact rationals, and comes neither from
torch nor from `reference`. sympy, which does that, is there with torch.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import mpmath
import sympy

HEADING = "The worked examples"  # the section of the README that holds the table

PREDICTIONS, TARGETS = [1.5, 2.0, 3.2], [1.0, 2.5, 2.8]
SCORES = [[1.2, 0.4, -0.5, 2.1, 0.3], [0.8, 1.9, -1.2, 0.4, 1.1], [-0.1, 2.4, 0.7, 1.5, -0.5]]
CLASSES, CLASS_WEIGHTS = [3, 1, 4], [0.1, 0.2, 0.3, 0.2, 0.2]
PROBABILITIES, LABELS, ELEMENT_WEIGHTS = [0.8, 0.2, 0.6, 0.9], [1.0, 0.0, 1.0, 1.0], [1.0, 2.0, 1.0, 1.0]
LOGITS = [1.5, -1.2, 0.4, 2.1]

R1, R2 = "(lse(1.2, 0.4, -0.5, 2.1, 0.3) - 2.1)", "(lse(0.8, 1.9, -1.2, 0.4, 1.1) - 1.9)"
R3 = "(lse(-0.1, 2.4, 0.7, 1.5, -0.5) + 0.5)"


@dataclass(frozen=True, slots=True)
class Example:
    """One printed number.

    title:     the call, as a reader would write it
    loss:      its name in torch.nn.functional and in `reference`
    arguments: by name, the decimals as printed
    printed:   the number that the introduction gives; None where its value is not quoted here
    form:      the exact value in closed form; lse(x, ...) is log(exp(x) + ...)
    torch:     what torch prints, to the introduction's four decimals
    remark:    where the introduction errs, or what the example teaches
    shown:     the closed form as the table shows it, where `form` is too long to read
    """

    title: str
    loss: str
    arguments: Mapping[str, list[Any]]
    printed: str | None
    form: str
    torch: str
    remark: str
    options: Mapping[str, str] = field(default_factory=dict)
    shown: str = ""

    @property
    def id(self) -> str:
        """Of `[A-Za-z0-9_.-]` only."""
        extra = [*(name for name in self.arguments if "weight" in name), *self.options.values()]
        return "-".join([self.loss, *extra])

    @property
    def verdict(self) -> str:
        """Whether the printed number is the exact value, rounded as it was printed."""
        if self.printed is None:
            return "not quoted"
        return "right" if self.printed == decimals(self.form) else "wrong"


EXAMPLES = (
    Example(
        "L1Loss",
        "l1_loss",
        {"input": PREDICTIONS, "target": TARGETS},
        printed="0.4667",
        form="7/15",
        torch="0.4667",
        remark="the errors are 0.5, 0.5 and 0.4",
    ),
    Example(
        "MSELoss",
        "mse_loss",
        {"input": PREDICTIONS, "target": TARGETS},
        printed="0.2967",
        form="11/50",
        torch="0.2200",
        remark="the squares are 0.25, 0.25 and 0.16, and add up to 0.66, not to 0.89",
    ),
    Example(
        'MSELoss(reduction="sum")',
        "mse_loss",
        {"input": PREDICTIONS, "target": TARGETS},
        options={"reduction": "sum"},
        printed="0.8900",
        form="33/50",
        torch="0.6600",
        remark="three times 0.2967: the same slip again. With two squares of 0.25 the third would have to be 0.39",
    ),
    Example(
        "CrossEntropyLoss",
        "cross_entropy",
        {"input": SCORES, "target": CLASSES},
        printed="0.8765",
        form=f"({R1} + {R2} + {R3})/3",
        shown="(r1 + r2 + r3)/3, r = log(sum(exp(row))) - row[class]",
        torch="1.5892",
        remark="no choice of one class per row gives 0.8765, so it is the cross entropy of other logits or of none;"
        " the third row alone, where the class has the lowest score, puts the mean above 1.14",
    ),
    Example(
        "CrossEntropyLoss(weight)",
        "cross_entropy",
        {"input": SCORES, "target": CLASSES, "weight": CLASS_WEIGHTS},
        printed="a second value",
        form=f"(0.2*{R1} + 0.2*{R2} + 0.2*{R3})/(0.2 + 0.2 + 0.2)",
        shown="(0.2 r1 + 0.2 r2 + 0.2 r3)/(0.2 + 0.2 + 0.2), as above",
        torch="1.5892",
        remark="it cannot differ from the unweighted: classes 3, 1 and 4 all have the weight 0.2, and the weighted mean"
        " divides by the sum of the weights that were picked, so that 0.2 cancels",
    ),
    Example(
        "BCELoss",
        "binary_cross_entropy",
        {"input": PROBABILITIES, "target": LABELS},
        printed="0.2070",
        form="log(625/216)/4",
        torch="0.2656",
        remark="the labels have the probabilities 0.8, 0.8, 0.6 and 0.9, whose product is 216/625;"
        " none of the 16 ways to label these four gives 0.2070",
    ),
    Example(
        "BCELoss(weight)",
        "binary_cross_entropy",
        {"input": PROBABILITIES, "target": LABELS, "weight": ELEMENT_WEIGHTS},
        printed=None,
        form="log(3125/864)/4",
        torch="0.3214",
        remark="divided by the number of elements, 4, not by the sum of the weights, 5: a weighted sum,"
        " not the weighted mean that CrossEntropyLoss takes",
    ),
    Example(
        "BCEWithLogitsLoss",
        "binary_cross_entropy_with_logits",
        {"input": LOGITS, "target": LABELS},
        printed=None,
        form="log((1 + exp(-1.5))*(1 + exp(-1.2))*(1 + exp(-0.4))*(1 + exp(-2.1)))/4",
        torch="0.2733",
        remark="near BCELoss's 0.2656 but not it: sigmoid makes 0.8176, 0.2315, 0.5987 and 0.8909 of these logits",
    ),
)


@functools.cache
def exact(form: str, digits: int = 50) -> Any:
    """The closed form as an mpmath number of so many digits."""
    names = {"lse": lambda *terms: sympy.log(sum(map(sympy.exp, terms)))}
    value = sympy.sympify(form, locals=names, rational=True).evalf(digits)
    with mpmath.workdps(digits):
        return mpmath.mpf(str(value))


def decimals(form: str, places: int = 4) -> str:
    """The exact value, rounded once to so many places."""
    with mpmath.workdps(50):
        return f"{int(mpmath.nint(exact(form) * 10**places)) / 10**places:.{places}f}"


def table() -> str:
    """The README's table."""
    lines = ["| example | it prints | exactly | torch prints | verdict |", "|---|---|---|---|---|"]
    for e in EXAMPLES:
        value = f"{e.shown or e.form} = {decimals(e.form, 8).rstrip('0')}"
        verdict = f"**{e.verdict}**: {e.remark}" if e.printed else e.remark
        lines.append(f"| `{e.title}` | {e.printed or e.verdict} | {value} | {e.torch} | {verdict} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
