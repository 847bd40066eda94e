"""Work that may end its process, done in a child process; and tensors whose neighbours may not be touched.

A call that reads past its arguments usually finds something there. Here it does not: each tensor lies flush
against a page that may not be read, so that the first byte too far ends the process, every time.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import mmap
import multiprocessing
import os
import pickle
import signal
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from multiprocessing.connection import Connection
from typing import Any, TypeVar

import torch

Job = TypeVar("Job")
_LIBC = ctypes.CDLL(None, use_errno=True)
_NO_ACCESS = 0  # PROT_NONE, which Python's mmap does not name


def fenced(tensor: torch.Tensor, *, side: str = "end") -> torch.Tensor:
    """A copy of a tensor on the CPU, its `end` or its `start` against a page that may not be read or written."""
    size = tensor.numel() * tensor.element_size()
    if size == 0:
        return tensor.clone()
    inside = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
    memory = mmap.mmap(-1, inside + 2 * mmap.PAGESIZE)
    base = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for page in (0, mmap.PAGESIZE + inside):
        if _LIBC.mprotect(ctypes.c_void_p(base + page), ctypes.c_size_t(mmap.PAGESIZE), _NO_ACCESS):
            raise OSError(ctypes.get_errno(), "mprotect")
    offset = mmap.PAGESIZE + (inside - size if side == "end" else 0)
    flat = torch.frombuffer(memory, dtype=tensor.dtype, count=tensor.numel(), offset=offset)
    return flat.view(tensor.shape).copy_(tensor)


class Isolation:
    """Where fatal work is done: a process that forks a child for it, and another when it has ended one.

    It is forked itself before any test has run. An accelerator that is in use, or a backward pass that was made
    beside one, cannot be forked; what was changed in torch on the command line is there all the same.
    """

    def __init__(self) -> None:
        """Fork."""
        (self._jobs_in, jobs), (results, self._results_in) = os.pipe(), os.pipe()
        if os.fork() == 0:
            os.close(jobs)
            os.close(results)
            self._serve()
        os.close(self._jobs_in)
        os.close(self._results_in)
        self._jobs, self._results = os.fdopen(jobs, "wb"), os.fdopen(results, "rb")

    def __call__(self, jobs: Sequence[Job], work: Callable[[Job], Any]) -> list[Any]:
        """What `work`, a function of a module, returns for each job; the name of a signal where that ended it."""
        pickle.dump((work, jobs), self._jobs)
        self._jobs.flush()
        return [pickle.load(self._results) for _ in jobs]

    def _serve(self) -> None:
        """In the fork: until nobody is left to ask."""
        faulthandler.disable()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # an allocator that finds its heap damaged says so at length
        asked, answers = os.fdopen(self._jobs_in, "rb"), os.fdopen(self._results_in, "wb")
        with contextlib.suppress(EOFError):
            while True:
                work, jobs = pickle.load(asked)
                for result in _surviving(jobs, work):
                    pickle.dump(result, answers)
                answers.flush()
        os._exit(0)


@cache
def isolation(file: str) -> Isolation:
    """The process that a file's work is done by; to be asked for while tests are collected, after what the work would have to draw again."""
    return Isolation()


def afresh(work: Callable[[Job], Any], job: Job) -> Any:
    """What `work`, a function of a module, returns for a job in a process started for it; or how it ended that process.

    It inherits nothing: there an accelerator can be used whatever was done with it here, and be lost.
    """
    context = multiprocessing.get_context("spawn")
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(send, work, job))
    process.start()
    send.close()
    try:
        return receive.recv()
    except EOFError:
        process.join()
        ended = process.exitcode or 0
        return signal.Signals(-ended).name if ended < 0 else f"exit status {ended}"
    finally:
        process.join()


def _answer(send: Connection, work: Callable[[Job], Any], job: Job) -> None:
    faulthandler.disable()
    send.send(work(job))
    send.close()


def _surviving(jobs: Sequence[Job], work: Callable[[Job], Any]) -> Iterator[Any]:
    """The results of the jobs, in a child process until one of them ends it, the rest in another."""
    while jobs:
        done, ending = _child(jobs, work)
        yield from done
        jobs = jobs[len(done) :]
        if ending is not None and jobs:
            yield ending
            jobs = jobs[1:]


def _child(jobs: Sequence[Job], work: Callable[[Job], Any]) -> tuple[list[Any], str | None]:
    """What the jobs returned until the child ended, and how it ended if not by itself."""
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            with os.fdopen(send, "wb") as pipe:
                for job in jobs:
                    pickle.dump(work(job), pipe)
                    pipe.flush()
            os._exit(0)  # without cleaning up what is the parent's
        finally:  # nor, where the work raises, by way of whoever asked for it
            os._exit(1)
    os.close(send)
    done = []
    with os.fdopen(receive, "rb") as pipe, contextlib.suppress(EOFError):
        while True:
            done.append(pickle.load(pipe))
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return done, signal.Signals(os.WTERMSIG(status)).name
    return done, None if len(done) == len(jobs) else f"exit status {os.waitstatus_to_exitcode(status)}"
