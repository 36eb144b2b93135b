"""Devices, and how far their tables can be trusted."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field

from latency_tables.contract.base import Contract, Count, Digest, Name, NonNegative, Share, Text
from latency_tables.contract.devices import Device, Environment, Runtime

CardState = Literal["none", "bad", "old", "good"]


class TableHealth(Contract):
    """The age of a table, how many of its rows are doubtful, and how well it predicts networks.

    `card` is that of its newest calibration: `none` without one, `bad` where calibrated predictions are more than 5 %
    off in the mean, `old` where no network was measured since the table was built, or for 30 days. `mape` is the mean
    error of calibrated predictions (0.01 is 1 %), `networks` how many networks it is of.
    """

    id: UUID
    created_at: AwareDatetime
    age_s: Annotated[float, Field(ge=0)]
    runtime: Runtime
    space: Name
    space_digest: Digest
    rows: Count
    converged_share: Share
    noisy: Count
    throttled: Count
    card: CardState = "none"
    mape: NonNegative | None = None
    networks: Count = 0
    networks_at: AwareDatetime | None = None


class DeviceRecord(Contract):
    """A device as the server knows it.

    `newest_tables` is the health of the newest table of each runtime and space (the answer to a registration
    leaves it empty).
    """

    device: Device
    environment: Environment
    agent: Text
    first_seen: AwareDatetime
    heartbeat_at: AwareDatetime
    tables: Count
    newest_tables: tuple[TableHealth, ...] = ()
