"""Networks: measured end to end, and predicted."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field, model_validator

from latency_tables.contract.base import MAX_NETWORKS, Contract, Digest, NonNegative, Positive, Text
from latency_tables.contract.devices import Device, Runtime
from latency_tables.contract.measurements import Latency, Quality
from latency_tables.contract.specs import NetworkSpec


class NetworkResult(Contract):
    """One network on one device and runtime: what its newest table says beside the end-to-end latency.

    `raw_us` is the sum of the table's rows (Eq. 9): None without a table of this device, environment, runtime and
    method that has every row. `predicted_us` is calibrated, from `low_us` to `high_us` with a probability of 90 %:
    None while the table has no calibration. It is predicted from other networks only, never from its own measurement.
    Both are to be compared with `measured_us`: the latency at the machine's standard state if the table has it too,
    which `measured_low_us` to `measured_high_us` hold at 95 %, else the median.
    """

    device: Device
    environment: Digest
    runtime: Runtime
    measured: Latency
    measured_us: Positive
    measured_low_us: Positive | None = None
    measured_high_us: Positive | None = None
    quality: Quality
    measurement_id: UUID
    measured_at: AwareDatetime
    table_id: UUID | None
    raw_us: Positive | None
    calibration_id: UUID | None = None
    predicted_us: Positive | None = None
    low_us: NonNegative | None = None
    high_us: Positive | None = None


class NetworkRecord(Contract):
    """A network that was found or submitted (`id` is its digest), with its result on every device that measured it.

    `name` is what people call it, if they gave it one.
    """

    id: Digest
    name: Text | None = None
    network: NetworkSpec
    created_at: AwareDatetime
    results: tuple[NetworkResult, ...]


class NetworkName(Contract):
    """What people call a network; the last name given is its name."""

    name: Text


class PredictionRequest(Contract):
    """Predict networks by the newest table of a device (uuid, or a name that only one device has), or of every device.

    All networks are of one definition of a space.
    """

    networks: Annotated[tuple[NetworkSpec, ...], Field(min_length=1, max_length=MAX_NETWORKS)]
    device: Text | None = None
    runtime: Runtime = Runtime()
    by: Annotated[
        Literal["table", "transfer"] | None,
        Field(description="Left out: by table, or by transfer where the device has no table. Transfers take `device`."),
    ] = None

    @model_validator(mode="after")
    def _check(self) -> "PredictionRequest":
        if len({(network.space, network.space_digest) for network in self.networks}) > 1:
            raise ValueError("networks: they are of several spaces or definitions of one; request each by itself")
        if self.by == "transfer" and self.device is None:
            raise ValueError("by: 'transfer' takes a device; name it")
        return self


class Prediction(Contract):
    """The predicted latency of a network on a device, by its newest table, or by its newest transfer where it has none.

    `table_id` or `transfer_id` says by which. `raw_us` is the sum of the table's rows over the operations that the
    network executes (Eq. 9); a transfer has none. `predicted_us` lies between `low_us` and `high_us` with a probability
    of 90 %: these are None while a table has no calibration (`calibration_id`). A network that was itself measured is
    predicted from the others only.
    """

    network: Digest
    device: Device
    environment: Digest
    runtime: Runtime
    table_id: UUID | None = None
    raw_us: Positive | None = None
    transfer_id: UUID | None = None
    calibration_id: UUID | None = None
    predicted_us: Positive | None = None
    low_us: NonNegative | None = None
    high_us: Positive | None = None
