"""Small spaces, tables with made-up latencies, and one-hot choices."""

import random
from collections.abc import Iterable
from datetime import datetime, timezone

import torch
import uuid6
from torch import nn

from latency_tables.contract import (
    Calibration,
    Device,
    Environment,
    Latency,
    LatencyTable,
    Measurement,
    Method,
    NetworkSpec,
    OperationSpec,
    Quality,
    Runtime,
    TableRow,
)
from lgcnet_search.search.architecture import EdgeTensors
from lgcnet_search.space import SPACE
from lgcnet_search.space.candidates import ZERO, candidates_of
from lgcnet_search.space.digest import space_digest
from lgcnet_search.space.genotype import Genotype, random_genotype
from lgcnet_search.space.network import network_spec
from lgcnet_search.space.space import Space
from lut_server.analysis.prediction import MeasuredNetwork, calibrated

TINY = Space(height=65, width=97, channels=1, classes=4)


def make_table(operations: Iterable[OperationSpec], seed: int = 0) -> LatencyTable:
    """A table with a latency of its own, from 10 to 1000 µs, for each operation."""
    generator = random.Random(seed)
    rows = tuple(
        TableRow(
            operation=operation,
            latency=Latency.of([generator.uniform(10, 1000)] * 12),
            quality=Quality(converged=True),
            measurement_id=uuid6.uuid7(),
        )
        for operation in operations
    )
    return LatencyTable(
        id=uuid6.uuid7(),
        created_at=datetime.now(timezone.utc),
        device=Device(uuid="cpu-1", kind="cpu", vendor="test", name="test cpu", memory_bytes=1, cores=1),
        environment=Environment(os="linux", python="3.11"),
        runtime=Runtime(threads=1),
        method_version="1",
        space=SPACE,
        space_digest=space_digest(),
        rows=rows,
    )


def one_hot(genotype: Genotype, dtype: torch.dtype = torch.float32) -> EdgeTensors:
    """z that takes exactly the candidates of a genotype."""
    space = genotype.space
    rows = {
        edge.name: torch.eye(len(edge.names), dtype=dtype)[edge.names.index(genotype.choices[edge.name])]
        for edge in space.graph.edges
    }
    cells = torch.stack([rows[edge.name] for edge in space.cell_edges])
    return EdgeTensors(
        cells.view(space.cells, -1, len(candidates_of("cell"))),
        torch.stack([rows[edge.name] for edge in space.fusion_edges]),
        torch.stack([rows[edge.name] for edge in space.up_edges]),
    )


def random_z(space: Space, seed: int, dtype: torch.dtype = torch.float64) -> EdgeTensors:
    """A soft z: rows that sum to 1."""
    generator = torch.Generator().manual_seed(seed)
    like = one_hot(Genotype.of(space, {edge.name: edge.names[0] for edge in space.graph.edges}), dtype)
    return like.map(lambda rows: torch.softmax(torch.randn(rows.shape, generator=generator, dtype=dtype), dim=-1))


def without_edges(genotype: Genotype, *cells: int) -> Genotype:
    """The same genotype with every edge of these cells zero."""
    zeros = {edge.name: ZERO for cell in cells for edge in genotype.space.cell_edges[5 * cell : 5 * cell + 5]}
    return Genotype.of(genotype.space, {**genotype.choices, **zeros})


def unsettle(module: nn.Module, seed: int = 0) -> None:
    """Give every BatchNorm statistics and weights unlike the initial ones."""
    generator = torch.Generator().manual_seed(seed)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for values in (layer.running_var, layer.weight, layer.running_mean, layer.bias):
                assert values is not None
                positive = values is layer.running_var or values is layer.weight
                values.data = torch.rand(values.shape, generator=generator) + (0.5 if positive else -0.5)


def measured(table: LatencyTable, network: NetworkSpec, latency_us: float, normalized: bool = False) -> MeasuredNetwork:
    measurement = Measurement(
        id=uuid6.uuid7(),
        job_id=uuid6.uuid7(),
        key=network.digest,
        device=table.device.uuid,
        environment=table.environment.digest,
        runtime=Runtime(),
        method=Method(version=table.method_version),
        samples_us=(latency_us,) * 6,
        executions_per_block=1,
        quality=Quality(converged=True),
        normalized_us=0.9 * latency_us if normalized else None,
        measured_at=datetime.now(timezone.utc),
    )
    return MeasuredNetwork(network, measurement)


def make_calibration(table: LatencyTable, space: Space = TINY, *, normalized: bool = False) -> Calibration:
    """Of networks that cost 0.9 of their rows' sum where they pool, and 1.2 elsewhere."""
    networks = [network_spec(random_genotype(space, seed)) for seed in range(12)]

    def cost_us(network: NetworkSpec) -> float:
        rows = (
            (counted.operation, counted.count * table[counted.operation].latency.median_us)
            for counted in network.operations
        )
        return sum(cost * (0.9 if "pool" in operation.name else 1.2) for operation, cost in rows)

    evidence = [measured(table, network, cost_us(network), normalized) for network in networks]
    return calibrated(table, evidence, uuid6.uuid7(), datetime.now(timezone.utc))
