"""A worker in a process of its own: both ends of the connection between it and the measuring process."""

import gc
from multiprocessing.connection import Connection
from typing import TypeVar

import torch
from pydantic import TypeAdapter

from latency_tables.children import end_with_parent
from latency_tables.contract import Contract
from profiler_agent.doubt import Block
from profiler_agent.errors import JobFailed, Unmeasurable
from profiler_agent.exit_status import how_it_ended
from profiler_agent.machine.host_monitor import HostReading
from profiler_agent.measuring.processes import start
from profiler_agent.measuring.worker import LocalWorker, OnBuild
from profiler_agent.measuring.workload import labels_of
from profiler_agent.orders import (
    BUILDING,
    ORDER,
    CollectGarbage,
    Order,
    ReadHost,
    Ready,
    Settle,
    TakeBlock,
    Unable,
    WorkTask,
)

Answer = TypeVar("Answer")

EXECUTIONS: TypeAdapter[int | Unable] = TypeAdapter(int | Unable)
BLOCK: TypeAdapter[Block | Unable] = TypeAdapter(Block | Unable)
HOST_READING: TypeAdapter[HostReading | Unable] = TypeAdapter(HostReading | Unable)
NOTHING: TypeAdapter[Unable | None] = TypeAdapter(Unable | None)
"""The answers to orders, as the process of a worker sends them."""


class RemoteWorker:
    """A workbench in a new process on a CPU. It ends with this process, or when it is closed.

    Raises:
        JobFailed: the process ended.
    """

    def __init__(self, task: WorkTask, on_build: OnBuild | None = None) -> None:
        self._on_build = on_build
        self._labels = labels_of(task.request) if task.request else {}
        self._doing = "building"
        self._ready: Ready | None = None
        try:
            self._process, self._orders = start(serve, task.model_dump_json())
        except (OSError, EOFError) as error:
            raise JobFailed(f"a worker process could not be started: {type(error).__name__}: {error}") from error

    @property
    def ready(self) -> Ready:
        while self._ready is None:
            message = BUILDING.validate_json(self._receive())
            if isinstance(message, Ready):
                self._ready = message
            else:
                self._doing = message.key
                if self._on_build:
                    self._on_build(message)
        return self._ready

    def settle(self, name: str) -> int:
        return self._ask(Settle(name=name), name, EXECUTIONS)

    def take(self, name: str, executions: int) -> Block:
        return self._ask(TakeBlock(name=name, executions=executions), name, BLOCK)

    def device_us(self, name: str, executions: int) -> float | None:
        """None: a CPU launches nothing."""
        del name, executions
        return None

    def read_host(self) -> HostReading:
        return self._ask(ReadHost(), "reading the host's state", HOST_READING)

    def collect_garbage(self) -> None:
        """Waits: on its cores the next block belongs to another worker."""
        self._ask(CollectGarbage(), "collecting garbage", NOTHING)

    def close(self) -> None:
        self._process.kill()
        self._process.join()
        self._orders.close()

    def _ask(self, order: Contract, doing: str, answers: TypeAdapter[Answer | Unable]) -> Answer:
        _ = self.ready
        self._doing = doing
        try:
            self._orders.send_bytes(order.model_dump_json().encode())
        except OSError as error:
            raise self._death() from error
        answer = answers.validate_json(self._receive())
        if isinstance(answer, Unable):
            raise Unmeasurable(answer.error)
        return answer

    def _receive(self) -> bytes:
        try:
            return self._orders.recv_bytes()
        except (EOFError, OSError) as error:
            raise self._death() from error

    def _death(self) -> JobFailed:
        doing = self._labels.get(self._doing, self._doing)
        self._process.join()
        return JobFailed(f"{doing}: a worker process {how_it_ended(self._process.exitcode or 0)}")


def serve(task: str, orders: Connection) -> None:
    """Build a WorkTask, then answer every order that comes over the connection."""
    end_with_parent()  # while it builds it reads no orders, and would not notice that nobody is there any more

    def send(message: Contract) -> None:
        orders.send_bytes(message.model_dump_json().encode())

    with torch.inference_mode():
        worker = LocalWorker(WorkTask.model_validate_json(task), None, send)
        gc.disable()
        send(worker.ready)
        while True:
            try:
                order = ORDER.validate_json(orders.recv_bytes())
            except EOFError:
                return
            orders.send_bytes(_answer(worker, order))


def _answer(worker: LocalWorker, order: Order) -> bytes:
    try:
        if isinstance(order, Settle):
            return EXECUTIONS.dump_json(worker.settle(order.name))
        if isinstance(order, TakeBlock):
            return BLOCK.dump_json(worker.take(order.name, order.executions))
    except Unmeasurable as error:
        return Unable(error=str(error)).model_dump_json().encode()
    if isinstance(order, ReadHost):
        return HOST_READING.dump_json(worker.read_host())
    worker.collect_garbage()
    return NOTHING.dump_json(None)
