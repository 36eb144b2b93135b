"""Captured CUDA graphs, timed by replaying them: what executing costs without the host."""

from contextlib import suppress

import torch

from profiler_agent.timing.block import Execute

WARM_UP_EXECUTIONS = 3
KEPT_GRAPHS = 2
"""Of one workload: one graph is replayed to warm the caches, one is the block."""


class CudaGraphClock:
    """A block is one replay of a graph of so many executions, captured on a side stream the first time.

    All graphs share one memory pool: they are replayed one after another, and nobody reads their outputs.
    """

    block_s = 0.002

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._pool = torch.cuda.graph_pool_handle()
        self._start = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        self._end = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        self._graphs: dict[Execute, dict[int, torch.cuda.CUDAGraph]] = {}

    def outputs(self, execute: Execute) -> object:
        """What one execution returns when it is captured and replayed; valid until anything else is replayed."""
        graph, outputs = self._capture(execute, 1)
        self._graphs.setdefault(execute, {})[1] = graph  # without a graph the shared pool would end
        return outputs

    def time_s(self, execute: Execute, executions: int) -> float:
        graphs = self._graphs.setdefault(execute, {})
        if executions not in graphs:
            if len(graphs) == KEPT_GRAPHS:
                del graphs[next(iter(graphs))]
            graphs[executions], _ = self._capture(execute, executions)
        graph = graphs[executions]
        with torch.cuda.stream(self._stream):
            self._stream.synchronize()
            self._start.record(self._stream)
            graph.replay()
            self._end.record(self._stream)
            self._end.synchronize()
        return float(self._start.elapsed_time(self._end)) * 1e-3

    def _capture(self, execute: Execute, executions: int) -> tuple[torch.cuda.CUDAGraph, object]:
        # Not torch.cuda.graph: it empties PyTorch's cache before every capture, and there are hundreds here.
        torch.cuda.synchronize(self._stream.device)
        graph = torch.cuda.CUDAGraph()
        outputs: object = None
        with torch.cuda.stream(self._stream):
            for _ in range(WARM_UP_EXECUTIONS):  # libraries choose algorithms and get workspaces before the capture
                execute()
            self._stream.synchronize()
            graph.capture_begin(pool=self._pool)
            try:
                for _ in range(executions):
                    outputs = execute()
            except BaseException:
                with suppress(RuntimeError):  # what broke the capture says more
                    graph.capture_end()
                raise
            graph.capture_end()
            # The first replay uploads the graph; that is no part of any block.
            graph.replay()
            self._stream.synchronize()
        return graph, outputs
