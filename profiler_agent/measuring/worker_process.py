"""The process of a worker: builds what its task says, then obeys orders from stdin until they end."""

import gc
import sys

import torch

from latency_tables.contract import Contract
from profiler_agent.errors import Unmeasurable
from profiler_agent.measuring.pipe import take_stdout
from profiler_agent.measuring.worker import BLOCK, EXECUTIONS, HOST_READING, NOTHING, LocalWorker
from profiler_agent.orders import ORDER, Order, ReadHost, Settle, TakeBlock, Unable, WorkTask


def main() -> None:
    """The first line of stdin is a WorkTask, every other an order."""
    task = WorkTask.model_validate_json(sys.stdin.readline())
    send_line = take_stdout()

    def send(message: Contract) -> None:
        send_line(message.model_dump_json())

    with torch.inference_mode():
        worker = LocalWorker(task, None, send)
        gc.disable()
        send(worker.ready)
        for line in sys.stdin:
            send_line(_answer(worker, ORDER.validate_json(line)))


def _answer(worker: LocalWorker, order: Order) -> str:
    try:
        if isinstance(order, Settle):
            return EXECUTIONS.dump_json(worker.settle(order.name)).decode()
        if isinstance(order, TakeBlock):
            return BLOCK.dump_json(worker.take(order.name, order.executions)).decode()
    except Unmeasurable as error:
        return Unable(error=str(error)).model_dump_json()
    if isinstance(order, ReadHost):
        return HOST_READING.dump_json(worker.read_host()).decode()
    worker.collect_garbage()
    return NOTHING.dump_json(None).decode()


if __name__ == "__main__":
    main()
