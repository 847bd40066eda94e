"""Work that may end its process, done in a child process; and tensors whose neighbours may not be touched.

A call that reads past its arguments usually finds something there. Here it does not: each tensor lies flush
against a page that may not be read, so that the first byte too far ends the process, every time.
"""

from __future__ import annotations

import ctypes
import faulthandler
import mmap
import os
import pickle
import signal
from collections.abc import Callable, Iterable, Iterator
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


def isolated(jobs: Iterable[Job], work: Callable[[Job], Any]) -> Iterator[tuple[Job, Any]]:
    """(job, what `work` returned), or the name of the signal that ended the process while it did this job.

    The jobs share a child process until one of them ends it; the rest get another.
    """
    left = list(jobs)
    while left:
        done, ending = _child(left, work)
        yield from zip(left, done, strict=False)
        left = left[len(done) :]
        if ending is not None and left:
            yield left.pop(0), ending


def _child(jobs: list[Job], work: Callable[[Job], Any]) -> tuple[list[Any], str | None]:
    """What the jobs returned until the child ended, and how it ended if not by itself."""
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        _report(send, jobs, work)
    os.close(send)
    done = []
    with os.fdopen(receive, "rb") as pipe:
        while True:
            try:
                done.append(pickle.load(pipe))  # our own child wrote it
            except EOFError:
                break
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return done, signal.Signals(os.WTERMSIG(status)).name
    return done, None if len(done) == len(jobs) else f"exit status {os.waitstatus_to_exitcode(status)}"


def _report(send: int, jobs: list[Job], work: Callable[[Job], Any]) -> None:
    """In the child: do the jobs, write down each result, and leave without cleaning up what is the parent's."""
    faulthandler.disable()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # an allocator that finds its heap damaged says so at length
    status = 1
    try:
        with os.fdopen(send, "wb") as pipe:
            for job in jobs:
                pickle.dump(work(job), pipe)
                pipe.flush()
        status = 0
    finally:
        os._exit(status)
