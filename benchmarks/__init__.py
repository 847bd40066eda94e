"""What each path of a loss costs, in numbers that hold on a noisy machine: `pytest benchmarks`.

The recipe, and the measurements that it comes from (torch 2.13, CPU, two shared cores):

- *A path is a subject.* It is held to the specification at the benchmark's own inputs, and timed only if right.
- *Interleaved pairs, in random order.* Of identical code, the ratio of medians taken one after the other spreads by
  12 to 20 %, the median ratio of as many interleaved pairs by 0.2 to 1.6 %. The rules in common use (mean + 5 %,
  Mann-Whitney at 0.05) call identical code slower in 20 to 40 of 100 comparisons with a stored run. So no verdict
  comes from a stored time.
- *One thread, CPU time, the heap retained.* With two threads and one busy neighbour, the same kernel takes 1 or
  32 ms; freed memory given back makes a 40 MB loss spend half of its time on page faults.
- *Pairs that lost the processor are set aside* where that settles the ratio better: at a load of 5 on two cores,
  the spread of pairs of 1 ms falls from 10 to 60 % to 2 to 13 %.
- *The smallest slowdown it could not have missed* stands in every row, and `same` needs the whole interval to lie
  within 5 %. Otherwise a row is `undecided`, which is a result.
- *A difference is seen twice.* Where one of less than 10 % is claimed, tensors and tasks are made afresh and timed again,
  and both times are judged together: where things lie in memory, and what else ran for some seconds, do not repeat.
- *Ratios repeat within the printed interval*, which is not that of one process: two paths lie elsewhere in memory in
  another, code included, and their ratio is another by 3 to 6 % (standard deviation). Of two runs one after the other,
  each ratio of unfused lay in the interval that the other run printed (80 of 80; compiled 108 of 110); with a third, when
  the machine was half as fast, 234 of 240 (compiled 320 of 330). `python -m benchmarks.repeats` says so of any reports.
- *Canaries.* Each run times an identical twin, twins slowed by 5 and 10 %, and a plain copy. If one of them comes out
  wrong, nothing else is believed. `python -m benchmarks.selfcheck` measures false alarms and power at length: of 300
  comparisons of identical code it flagged none on a quiet machine, and 2 beside three busy processes; of 60 twins each
  it called slower 59 and 60 that were by 5 %, and all that were by 10 %.
- *Two releases meet live*, a process each, in several launches: what differs from process to process (memory layout;
  up to 4 %) is no part of a single process's spread. `python -m benchmarks.releases OLD_PYTHON NEW_PYTHON`.
- *A limit, not only a rival.* The bytes that a loss must move, over the bandwidth of a plain copy of as many.

Where things are: `workloads` the table of shapes; `paths` the namespaces; `step` what is timed; `clock` and `duel` how;
`verdict` what pairs say; `verify`, `departures` what is right enough; `footprint`, `limits`, `compiling` the rest of
a row; `canaries`, `selfcheck` whether to believe it; `run` puts it together, `report` and `plots` show it.
"""
