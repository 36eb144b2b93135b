"""Devices drawn at random, for simulation-based calibration: what a table and networks say where the truth is known."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import uuid6

from latency_tables.calibration import TimedNetwork
from latency_tables.contract import (
    Basis,
    Latency,
    LatencyTable,
    NetworkSpec,
    OperationSpec,
    TableRow,
)
from latency_tables.latencies import Z95
from tests.support.factories import SOUND, SPACE_DIGEST, table_of

BASIS: Basis = "normalized_us"
KINDS = ("conv", "depthwise", "pool", "skip", "upsample", "dilated")
RESOLUTIONS = (64, 32, 16)
CHANNELS = (8, 32)


@dataclass(frozen=True)
class World:
    """How devices are drawn; all standard deviations are relative.

    `name`, `stage`, `row` and `noise` are in the middle of what a device draws, each between a `spread`-th of it and
    `spread` times of it. `row_error` and `network_error` are of measurements, and known. `tails`: degrees of freedom of
    Student's t that the noise follows. `scale`: of one factor for all operations. `common`: of what all devices of a
    world share in each operation.
    """

    name: float = 0.2
    stage: float = 0.1
    row: float = 0.04
    noise: float = 0.01
    spread: float = 3.0
    row_error: float = 0.01
    network_error: float = 0.005
    tails: float | None = None
    scale: float = 0.0
    common: float = 0.0


@dataclass(frozen=True)
class Drawn:
    """A device: its table, networks that it measured, and what its operations cost inside them over alone, minus 1."""

    table: LatencyTable
    measured: list[TimedNetwork]
    inside: dict[str, float]


@lru_cache
def operations() -> tuple[OperationSpec, ...]:
    return tuple(
        OperationSpec(
            space="small", space_digest=SPACE_DIGEST, name=kind, input_shapes=((channels, resolution, resolution),)
        )
        for kind in KINDS
        for resolution in RESOLUTIONS
        for channels in CHANNELS
    )


@lru_cache
def networks(count: int, seed: int = 0) -> tuple[NetworkSpec, ...]:
    """Of 6 to 40 operations, a stem among them."""
    draw = random.Random(seed)
    made = []
    for number in range(count):
        drawn = draw.sample(operations()[1:], draw.randint(5, 14))
        counts = {operations()[0]: 2, **{operation: draw.randint(1, 3) for operation in drawn}}
        made.append(NetworkSpec.of("small", SPACE_DIGEST, [seed, number], (3, 128, 128), counts))
    return tuple(made)


def draw_device(world: World, specs: Sequence[NetworkSpec], seed: int) -> Drawn:
    """A device of this world that measured these networks."""
    draw = np.random.default_rng(seed)
    name, stage, row, noise = (
        float(middle * world.spread ** draw.uniform(-1, 1))
        for middle in (world.name, world.stage, world.row, world.noise)
    )
    shared = np.random.default_rng(1)
    names = {kind: draw.normal(0, name) for kind in KINDS}
    stages = {(kind, resolution): draw.normal(0, stage) for kind in KINDS for resolution in RESOLUTIONS}
    scale = draw.normal(0, world.scale)
    inside, alone, measured_alone = {}, {}, {}
    for index, spec in enumerate(operations()):
        _, resolution, _ = spec.input_shapes[0]
        deviation = names[spec.name] + stages[spec.name, resolution] + draw.normal(0, row)
        inside[spec.digest] = max(scale + deviation + world.common * shared.normal(), -0.9)
        alone[spec.digest] = 20.0 * (1 + index % 7) * (resolution / 16) * math.exp(draw.normal(0, 0.3))
        measured_alone[spec.digest] = alone[spec.digest] * math.exp(draw.normal(0, world.row_error))
    constant_us = draw.normal(0, 0.02) * sum(alone.values()) / 2
    timed = []
    for network in specs:
        parts = [(item.count, item.operation.digest) for item in network.operations]
        true_us = sum(count * alone[key] * (1 + inside[key]) for count, key in parts) + constant_us
        off = draw.standard_t(world.tails) if world.tails else draw.normal()
        measured_us = true_us * max(1 + noise * off, 0.1) * math.exp(draw.normal(0, world.network_error))
        timed.append(TimedNetwork(network, float(measured_us), world.network_error or None))
    rows = tuple(_row(spec, measured_alone[spec.digest], world.row_error) for spec in operations())
    return Drawn(table_of(rows), timed, inside)


def with_row_errors(table: LatencyTable, std_rel: float) -> LatencyTable:
    """The same latencies, said to be so uncertain."""
    rows = tuple(_row(row.operation, row.normalized_us or 0.0, std_rel) for row in table.rows)
    return table.model_copy(update={"rows": rows})


def _row(spec: OperationSpec, latency_us: float, std_rel: float) -> TableRow:
    half = math.exp(Z95 * std_rel)
    return TableRow(
        operation=spec,
        latency=Latency.of([latency_us]),
        quality=SOUND,
        measurement_id=uuid6.uuid7(),
        normalized_us=latency_us,
        normalized_low_us=latency_us / half if std_rel else None,
        normalized_high_us=latency_us * half if std_rel else None,
    )
