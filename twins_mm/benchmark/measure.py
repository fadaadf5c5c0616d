"""Time and memory of models, side by side: they alternate, each in a process of its own.

So the memory of one model is never counted as another's.
"""

import importlib
import multiprocessing
import re
import resource
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ..training.allocator import keep_freed_memory
from .peers import PEERS
from .timing import interleave, seconds_of

MATMUL_SIZE = dict(cpu=2048, cuda=8192)
MATMULS = 5  # in a row, because a single one is too short to time
# Where a processor lacks instructions for a precision, torch multiplies in a naive loop. If the
# products above took longer than this many seconds there, smaller ones stand for them.
SLOW, SMALL_SIZE = 20, 512
SPARED_MEMORY = 2 * 2**30
# Seconds of the steps that are timed as one: a single one on a GPU would measure how its clocks
# wake up.
TIMED_BATCH = 0.5


class Case(NamedTuple):
    """What is measured.

    Attributes:
        peer: A name in `PEERS`; or 'matmul', products of large matrices.
        variant: Such as 'svt_s'.
        training: A step of training (forward, backward, AdamW) instead of inference.
        precision: 'float32'; or 'bfloat16' or 'float16', which training uses by autocast, and
            inference for weights and images.
        size: Batch, height and width of the images.
        device: 'cpu' or 'cuda'.
    """

    peer: str
    variant: str
    training: bool
    precision: str
    size: tuple[int, int, int]
    device: str


class Measurement(NamedTuple):
    """The result of a case.

    Attributes:
        seconds: Of a step, round by round; empty if it could not be run.
        memory: Bytes that the model and its steps added at their peak: on a CPU to the process's
            resident set, on a GPU to what torch allocates.
        error: Why it could not be run.
    """

    seconds: list[float]
    memory: int
    error: str = ''


def measure(
    cases: Sequence[Case], rounds: int, progress: Callable[[str], None] = lambda text: None
) -> list[Measurement]:
    """Measures cases side by side; `progress` gets a line for each part."""
    workers = []
    for case in cases:
        progress(f'{case.peer}: building and warming up')
        workers.append(_Worker(case))
    seconds = interleave(lambda worker: worker.ask('step'), workers, rounds, progress)
    memory = [worker.ask('finish') for worker in workers]
    return [
        Measurement([], 0, worker.error) if worker.error else Measurement(times, peak)
        for worker, times, peak in zip(workers, seconds, memory)
    ]


class _Worker:
    """A process that holds one model; ready when this returns."""

    def __init__(self, case: Case):
        context = multiprocessing.get_context('spawn')
        self.pipe, other_end = context.Pipe()
        process = context.Process(target=_serve, args=(case, other_end), daemon=True)
        process.start()
        other_end.close()
        self.error = ''
        self._receive()

    def ask(self, request: str) -> Any:
        """What it replies; None once there was an error, which is in `error` then."""
        if self.error:
            return None
        self.pipe.send(request)
        return self._receive()

    def _receive(self) -> float | int | None:
        try:
            reply = self.pipe.recv()
        except EOFError:
            reply = 'its process died'
        if isinstance(reply, str):
            self.error = reply
        return reply


def _serve(case: Case, pipe: Connection) -> None:
    """What a worker does: it prepares a model, then runs a step as often as it is asked to."""
    keep_freed_memory()
    try:
        if case.peer != 'matmul':
            importlib.import_module(PEERS[case.peer].module)
        if case.device == 'cpu':
            _limit_memory()
            # The peak of importing would hide that of the model.
            Path('/proc/self/clear_refs').write_text('5')
        memory_before = _peak_memory(case.device)
        step, share = _matmul(case) if case.peer == 'matmul' else (_make_step(case), 1)
        step()
        calls = max(1, round(TIMED_BATCH / seconds_of(step)))
        pipe.send(None)
        while pipe.recv() == 'step':
            for _ in range(calls // 4):
                step()
            pipe.send(seconds_of(step, calls) / share)
        pipe.send(_peak_memory(case.device) - memory_before)
    except Exception as error:  # a peer may fail in any way; the others are still measured
        message = str(error).strip().partition('\n')[0] or type(error).__name__
        lacks_memory = 'allocate' in message or 'out of memory' in message
        pipe.send('out of memory' if lacks_memory else message)


def _make_step(case: Case) -> Callable[[], object]:
    torch.manual_seed(0)
    model = PEERS[case.peer].build(case.variant).to(case.device)
    model.train(case.training)  # mmdet's Swin returns nothing here
    batch, height, width = case.size
    images = torch.randn(batch, 3, height, width, device=case.device)
    precision = getattr(torch, case.precision)
    autocast = (
        torch.autocast(case.device, precision)
        if (case.training and precision != torch.float32)
        else nullcontext()
    )
    if not case.training:
        # Not by autocast, which converts the weights again in every step.
        model, images = model.to(precision), images.to(precision)
    optimizer = torch.optim.AdamW(model.parameters()) if case.training else None

    def step() -> None:
        with torch.inference_mode(not case.training), autocast:
            levels = model(images)
        if optimizer:
            sum(level.float().mean() for level in levels).backward()
            optimizer.step()
            optimizer.zero_grad()

    return step


def _matmul(case: Case) -> tuple[Callable[[], object], float]:
    """Products of matrices, and their share of the operations that `matmul_rate` assumes."""
    size = MATMUL_SIZE[case.device]
    share = (SMALL_SIZE / size) ** 3
    few = _products(SMALL_SIZE, case)
    few()
    if seconds_of(few) / share > SLOW:
        return few, share
    return _products(size, case), 1


def _products(size: int, case: Case) -> Callable[[], object]:
    a, b = torch.randn(
        2, size, size, device=case.device, dtype=getattr(torch, case.precision)
    ).unbind()

    def multiply() -> None:
        for _ in range(MATMULS):
            a @ b

    return multiply


def matmul_rate(case: Case, seconds: float) -> float:
    """Floating-point operations a second, of a case 'matmul' that took `seconds`."""
    return MATMULS * 2 * MATMUL_SIZE[case.device] ** 3 / seconds


def _peak_memory(device: str) -> int:
    if device == 'cuda':
        return torch.cuda.max_memory_allocated()
    return int(re.findall(r'VmHWM:\s+(\d+) kB', Path('/proc/self/status').read_text())[0]) * 1024


def _limit_memory() -> None:
    """A model that needs too much fails by itself, before the system kills some process."""
    available = re.findall(r'MemAvailable: +(\d+) kB', Path('/proc/meminfo').read_text())[0]
    limit = int(available) * 1024 - SPARED_MEMORY
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
