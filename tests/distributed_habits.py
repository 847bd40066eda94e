"""What cross entropy over several processes is known to do otherwise, as seen in torch 2.6 and 2.10 to 2.15."""

from __future__ import annotations

from .habits import Habit

SHARDED: tuple[Habit, ...] = (
    Habit(
        "label_smoothing_by_class",
        ("*label_smoothing*-by_class-*",),
        "refuses",
        "with label_smoothing the ignored rows are set to 0 in place, in a tensor that is a sum over ranks not yet taken",
        says="aten.masked_fill_.Scalar",
        torch=">=2.6,!=2.10.*",
    ),
    Habit(
        "label_smoothing_by_class_silently",
        ("*label_smoothing*-by_class-*",),
        "wrong",
        "the gradient of a log-softmax that loss_parallel does not see in an nll_loss is passed on as it comes",
        says=": input ",
        torch="==2.10.*",
        link="https://github.com/pytorch/pytorch/issues/190746",
    ),
    Habit(
        "probabilities_by_class",
        ("*_probabilities*-by_class-*",),
        "wrong",
        "documented as not supported, and not refused: the value is right, and the gradient is that of a log-softmax that "
        "loss_parallel does not see in an nll_loss, passed on as it comes",
        says=": input ",
        link="https://github.com/pytorch/pytorch/issues/190746",
        but=("*label_smoothing*",),
    ),
    Habit(
        "image_by_class",
        ("*-image*-by_class-*",),
        "wrong",
        "the value is right; in the gradient the -1 at a target are put where its place is with height and width exchanged: "
        "only the classes are moved, to where the width was, while the targets are read row by row",
        says=": input ",
    ),
    Habit(
        "ignore_index_past_the_classes",
        tuple(f"*_ignored_weight{index}-*-by_{axis}-*" for index in ("", "_ignore_index.m1", "_ignore_index.255") for axis in ("class", "both")),
        "refuses",
        "the weight of a class that is none, and is ignored, is looked up all the same",
        says="is out of bounds",
    ),
    Habit(
        "mean_on_a_grid",
        ("*-mean-*-by_both-*", "*-mean-*-copied-by_class-*", "*-mean-*-by_class-and_row-*", "*-mean-*-by_class-copied-*"),
        "refuses",
        "the mean over the classes of a row, and over the rows of other ranks, are two sums, and torch says that it takes only one",
        says="only supported on one-dimensional DeviceMesh",
        torch=">=2.13",
    ),
    Habit(
        "mean_of_uneven_rows",
        ("*-mean-*-by_row-4",),
        "refuses",
        "the mean over the ranks of their means is biased where they have not the same number of rows",
        says="biased mean",
        torch="<2.14",
        but=("*probabilities*",),  # the mean of which is a sum, divided by the number of all rows
    ),
    Habit(
        "mean_of_weighted_rows",
        ("*ignored*-mean-*-by_row-2", "*weight*-mean-*-by_row-2"),
        "wrong",
        "the mean over the ranks of their means, which is not the mean where their weights, or the rows that they "
        "ignore, are not the same: nothing says so",
        says=": value ",
        torch=">=2.8,<2.14",
        link="https://github.com/pytorch/pytorch/issues/185167",
        but=("*label_smoothing.1.0*",),  # nothing is left of the part that is averaged so
    ),
    Habit(
        "mean_of_smoothed_rows",
        ("*label_smoothing*-mean-*-by_row-2",),
        "refuses",
        "to the mean over the ranks of the picked classes the sum over the ranks of all classes is added, and neither is "
        "made of the other; that it is an AssertionError says that nobody meant to refuse it",
        says="Redistribution from one partial type",
        torch="==2.11.*",
    ),
    Habit(
        "no_mean_with_gloo",
        ("*-mean-*-by_row-2",),
        "refuses",
        "gloo has no mean over ranks, and is asked for one",
        says="Cannot use ReduceOp.AVG with Gloo",
        torch="<2.8",
        but=("*label_smoothing*", "*probabilities*"),
    ),
    Habit(
        "label_smoothing_by_row",
        ("*label_smoothing*-by_row-*", "*label_smoothing*-by_class_gathered-*"),
        "refuses",
        "masked_fill_ is not known to tensors in shards",
        says="aten.masked_fill_.Scalar",
        torch="<2.10",
        but=("*-mean-*-by_row-4", "*_probabilities*-by_class_gathered-*"),
    ),
    Habit(
        "loss_parallel_stays_on",
        ("*-after_a_refusal",),
        "refuses",
        "an exception leaves `with loss_parallel()` without switching it off: every cross entropy after it goes through it",
        says="loss_parallel()",
    ),
)
