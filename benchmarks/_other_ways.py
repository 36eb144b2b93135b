"""Operations measured in the usual ways: in this process, one after the other. Prints JSON: µs per key.

Standard input: {"way", "height", "width", "keys", "seconds_per_key", "repeats"}.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.utils.benchmark import Timer

from lgcnet_search.space import plugin
from lgcnet_search.space.space import Space

WARM_UP = 10


def fixed_mean(execute: Callable[[], object], repeats: int) -> float:
    """The mean of so many runs after ten for warming up, as most code of architecture searches has it."""
    for _ in range(WARM_UP):
        execute()
    started = time.perf_counter()
    for _ in range(repeats):
        execute()
    return (time.perf_counter() - started) / repeats


def measure(task: dict[str, Any], execute: Callable[[], object]) -> float:
    if task["way"] == "fixed mean":
        return fixed_mean(execute, task["repeats"])
    timer = Timer("execute()", globals={"execute": execute}, num_threads=1)
    seconds = task["seconds_per_key"]
    if task["way"] == "blocked_autorange":
        return float(timer.blocked_autorange(min_run_time=seconds).median)
    return float(timer.adaptive_autorange(min_run_time=seconds, max_run_time=seconds).median)


def main() -> None:
    task = json.load(sys.stdin)
    torch.set_num_threads(1)
    latencies_us = {}
    with torch.inference_mode():
        for operation in Space(height=task["height"], width=task["width"]).operations:
            if operation.digest in task["keys"]:
                module = plugin.build_operation(operation)
                inputs = [torch.randn(1, *shape) for shape in operation.input_shapes]
                seconds = measure(task, lambda module=module, inputs=inputs: module(*inputs))  # type: ignore[misc]
                latencies_us[operation.digest] = seconds * 1e6
    json.dump(latencies_us, sys.stdout)


if __name__ == "__main__":
    main()
