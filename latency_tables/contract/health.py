"""Devices, and how far their tables can be trusted."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field, StrictBool

from latency_tables.contract.base import MAX_WARNINGS, Contract, Count, Digest, Name, NonNegative, Shape, Share, Text
from latency_tables.contract.devices import Capabilities, Device, Environment, Runtime

CardState = Literal["none", "bad", "old", "good"]


class TableHealth(Contract):
    """The age of a table, how many of its rows are doubtful, and how well it predicts networks.

    `doubtful` rows are not converged, noisy or throttled. `warnings` are those of the table: with any, its machine
    is in doubt, whatever its rows say. `largest_input` is the input with the most pixels among its operations.
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
    doubtful: Count = 0
    warnings: Annotated[tuple[Text, ...], Field(max_length=MAX_WARNINGS)] = ()
    largest_input: Shape | None = None
    requested_by: Text | None = None
    card: CardState = "none"
    mape: NonNegative | None = None
    networks: Count = 0
    networks_at: AwareDatetime | None = None


class DeviceRecord(Contract):
    """A device as the server knows it.

    `newest_tables` is the health of the newest table of each runtime and space (the answer to a registration
    leaves it empty). A `hidden` device is left out of lists and takes no jobs; its tables stay.
    """

    device: Device
    environment: Environment
    agent: Text
    first_seen: AwareDatetime
    heartbeat_at: AwareDatetime
    tables: Count
    newest_tables: tuple[TableHealth, ...] = ()
    works: Capabilities | None = None
    hidden: bool = False


class DeviceVisibility(Contract):
    """What an administrator decides on a device: a hidden one is left out of lists and takes no jobs."""

    hidden: StrictBool
