"""Devices without a table: what a few measured networks say with the help of other devices; published latencies."""

from datetime import date
from typing import Annotated, ClassVar, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field, model_validator

from latency_tables.contract.base import (
    MAX_NETWORKS,
    MAX_OPERATIONS,
    Contract,
    Count,
    Digest,
    Name,
    NonNegative,
    Positive,
    Remark,
    SampleUs,
    Share,
    Size,
    Text,
)
from latency_tables.contract.calibrations import Basis, Coefficient, PredictionFigures
from latency_tables.contract.devices import Device, Runtime
from latency_tables.contract.measurements import Work
from latency_tables.contract.specs import NetworkSpec

MAX_PUBLISHED = 20_000
MAX_SOURCES = 256


class OperationWork(Contract):
    """The work of an operation, which no device had to measure; `key` is the operation's digest."""

    key: Digest
    work: Work


class PublishedLatency(Contract):
    """A network's latency, for the whole batch, as somebody published it."""

    network: Digest
    latency_us: SampleUs


class Publication(Contract):
    """Whole-network latencies of a device that has no agent here, as somebody published them; immutable.

    `source` says where, `measured_on` when. `digest` is of all fields but `id` and `created_at`.
    """

    not_content: ClassVar = frozenset({"id", "created_at"})

    id: UUID
    created_at: AwareDatetime
    device: Text
    batch_size: Size
    source: Text
    measured_on: date
    space: Name
    space_digest: Digest
    works: Annotated[tuple[OperationWork, ...], Field(max_length=MAX_OPERATIONS)] = ()
    latencies: Annotated[tuple[PublishedLatency, ...], Field(min_length=1, max_length=MAX_PUBLISHED)]

    @model_validator(mode="after")
    def _check(self) -> "Publication":
        if len({latency.network for latency in self.latencies}) != len(self.latencies):
            raise ValueError("latencies: a network is repeated; list each once")
        return self


class PublicationSummary(Contract):
    """A publication without its latencies."""

    id: UUID
    content_digest: Digest
    created_at: AwareDatetime
    device: Text
    batch_size: Size
    source: Text
    measured_on: date
    space: Name
    space_digest: Digest
    networks: Count


class TransferRequest(Contract):
    """Learn a device (by uuid, or by a name that only one device has) from its measured networks of a space."""

    device: Text
    runtime: Runtime = Runtime()
    space: Name
    space_digest: Digest


class ProposalRequest(Contract):
    """Which of these networks, all of one definition of a space, would a device best measure next?"""

    device: Text
    runtime: Runtime = Runtime()
    networks: Annotated[tuple[NetworkSpec, ...], Field(min_length=1, max_length=MAX_NETWORKS)]
    count: Annotated[int, Field(gt=0, le=MAX_NETWORKS)] = 1

    @model_validator(mode="after")
    def _check(self) -> "ProposalRequest":
        if len({(network.space, network.space_digest) for network in self.networks}) > 1:
            raise ValueError("networks: they are of several spaces or definitions of one; request each by itself")
        if len({network.digest for network in self.networks}) != len(self.networks):
            raise ValueError("networks: a network is repeated; list each once")
        return self


class Proposal(Contract):
    """Networks to measure, those that tell most of all the others first; `measured`: how many the device has already.

    `sources`: names of the devices whose costs it rests on.
    """

    networks: tuple[Digest, ...]
    measured: Count
    sources: tuple[Text, ...]


class TransferSource(Contract):
    """A device that a transfer learned from: a calibration of its table, or a publication."""

    name: Text
    calibration_id: UUID | None = None
    publication_id: UUID | None = None


class Likeness(Contract):
    """How much of the evidence says that a device is like this.

    `kind`: `source` (the one named), `sources` (a mixture of them), or `none` (no device here: its work counts).
    """

    kind: Literal["source", "sources", "none"]
    name: Remark = ""
    share: Share

    def __str__(self) -> str:
        words = {"source": f"like {self.name}", "sources": "between the devices here", "none": "like no device here"}
        return f"{words[self.kind]}: {self.share:.0%}"


class TransferEvidence(Contract):
    """A network that the device measured, and what was predicted for it from the others (None from too few)."""

    network: Digest
    measurement_id: UUID
    measured_us: Positive
    predicted_us: Positive | None
    low_us: NonNegative | None
    high_us: Positive | None


class TransferRow(Contract):
    """What an operation costs inside a network, with its posterior standard deviation; `key` is its digest."""

    key: Digest
    latency_us: float
    std_us: NonNegative


class TransferCard(Contract):
    """How well a transfer predicts the device's own networks, each of them from the others (leave-one-out)."""

    networks: Size
    predicted: PredictionFigures
    coverage90: Share
    measured_at: AwareDatetime


class Transfer(Contract):
    """What a device is like, by a few networks and other devices; immutable, new evidence makes a new one.

    It predicts networks. Its `rows` are far less certain than a table's: they are for sums over whole networks.
    `counted`: the work of all operations is known; else input shapes stand for it. `version` names the procedure.
    """

    not_content: ClassVar = frozenset({"id", "created_at"})

    id: UUID
    created_at: AwareDatetime
    device: Device
    environment: Digest
    runtime: Runtime
    method_version: Name
    space: Name
    space_digest: Digest
    version: Name
    basis: Basis
    counted: bool
    sources: Annotated[tuple[TransferSource, ...], Field(min_length=1, max_length=MAX_SOURCES)]
    likeness: Annotated[tuple[Likeness, ...], Field(min_length=1)]
    constant_us: Coefficient
    rows: Annotated[tuple[TransferRow, ...], Field(min_length=1, max_length=MAX_OPERATIONS)]
    evidence: Annotated[tuple[TransferEvidence, ...], Field(min_length=1, max_length=MAX_NETWORKS)]
    card: TransferCard | None


class TransferSummary(Contract):
    """A transfer without rows and evidence."""

    id: UUID
    content_digest: Digest
    created_at: AwareDatetime
    device: str
    device_name: str
    environment: Digest
    runtime: Runtime
    space: Name
    space_digest: Digest
    networks: Size
    card: TransferCard | None
