"""What every clock shares: how many executions make a block, and when an operation is warm."""

import math
import time
from collections.abc import Callable
from typing import Protocol

Execute = Callable[[], object]
"""One execution, launched in the device's current stream."""

MAX_EXECUTIONS = 100_000
STEADY_REL = 0.02
MAX_WARM_UP_S = 0.5


class Clock(Protocol):
    """Times back-to-back executions; `block_s` is how long a block should last for this clock."""

    @property
    def block_s(self) -> float: ...

    def time_s(self, execute: Execute, executions: int) -> float:
        """Seconds that `executions` back-to-back executions take, from idle to done."""
        ...


def executions_per_block(execution_s: float, block_s: float) -> int:
    """Executions that fill a block; one where it alone is longer."""
    return max(1, min(MAX_EXECUTIONS, math.ceil(block_s / max(execution_s, 1e-9))))


def settle(clock: Clock, execute: Execute) -> int:
    """Warm up until blocks get no faster (bounded), and return the executions per block."""
    clock.time_s(execute, 1)  # lazy initialization and the choice of algorithms
    execution_s = clock.time_s(execute, 1)
    if execution_s >= MAX_WARM_UP_S:
        return 1
    executions = executions_per_block(execution_s, clock.block_s)
    give_up_at = time.monotonic() + MAX_WARM_UP_S
    fastest_s = math.inf
    while True:
        execution_s = clock.time_s(execute, executions) / executions
        executions = executions_per_block(min(execution_s, fastest_s), clock.block_s)
        if execution_s > fastest_s * (1 - STEADY_REL) or time.monotonic() > give_up_at:
            return executions
        fastest_s = execution_s
