"""Jobs and the leases under which agents work on them."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field, StringConstraints, model_validator

from latency_tables.contract.base import (
    MAX_NETWORKS,
    MAX_OPERATIONS,
    Contract,
    Count,
    DeviceUuid,
    Digest,
    Exact,
    Name,
    NonNegative,
    Positive,
    Remark,
    Requirement,
    Shape,
    Share,
    Text,
    largest_shape,
)
from latency_tables.contract.devices import Runtime
from latency_tables.contract.specs import NetworkSpec, OperationSpec


class DeviceSelector(Exact):
    """Which device may take a job: every given field must be equal."""

    uuid: DeviceUuid | None = None
    name: Text | None = None
    kind: Literal["cuda", "cpu"] | None = None


class Effort(Exact):
    """How long to measure: stop a workload when its interval is within `target_rel` of its median.

    None takes the device's default (1 % on a GPU, 2 % on a CPU). `budget_s` bounds the whole job; it never
    goes below `min_blocks` blocks of each operation.
    """

    target_rel: Annotated[float, Field(gt=0, lt=1)] | None = None
    min_blocks: Annotated[int, Field(ge=6, le=1000)] = 12
    budget_s: Positive | None = None


class JobRequest(Exact):
    """Profile operations, or measure networks end to end; exactly one of the two.

    `requirement` is what an agent without the space has to install (as pip takes it). A key that was measured before
    under equal conditions is not measured again, unless that measurement is doubtful and `repeat_doubtful` is set.
    """

    device: DeviceSelector
    runtime: Runtime
    space: Name
    space_digest: Digest
    requirement: Requirement
    operations: Annotated[tuple[OperationSpec, ...], Field(max_length=MAX_OPERATIONS)] = ()
    networks: Annotated[tuple[NetworkSpec, ...], Field(max_length=MAX_NETWORKS)] = ()
    effort: Effort = Effort()
    repeat_doubtful: Annotated[bool, Field(description="Measure doubtful keys again.")] = False

    @model_validator(mode="after")
    def _check(self) -> "JobRequest":
        if bool(self.operations) == bool(self.networks):
            raise ValueError("give either operations to profile or networks to measure")
        for operation in self.operations:
            if (operation.space, operation.space_digest) != (self.space, self.space_digest):
                raise ValueError(f"operations: {operation} is not of space {self.space!r} with the job's space_digest")
        if len({operation.digest for operation in self.operations}) != len(self.operations):
            raise ValueError("operations: an operation is repeated; list each once")
        for network in self.networks:
            if (network.space, network.space_digest) != (self.space, self.space_digest):
                raise ValueError(f"networks: not of space {self.space!r} with the job's space_digest: {network.digest}")
        if len({network.digest for network in self.networks}) != len(self.networks):
            raise ValueError("networks: a network is repeated; list each once")
        return self

    @property
    def largest_input(self) -> tuple[int, ...]:
        """The input with the most pixels (or numbers, without two last axes) among what is to be measured."""
        networks = [network.input_shape for network in self.networks]
        return largest_shape([*networks, *(shape for spec in self.operations for shape in spec.input_shapes)])

    @property
    def keys(self) -> tuple[str, ...]:
        """Digests of everything to measure."""
        return tuple(item.digest for item in (*self.operations, *self.networks))


JobState = Literal["queued", "leased", "done", "failed", "cancelled"]


class Progress(Contract):
    """Progress of a job: keys measured, and keys in all.

    `share` counts unfinished keys too: what part of the work is done. `stage` says in words what goes on.
    """

    done: Count
    total: Count
    share: Share | None = None
    stage: Remark | None = None

    @property
    def fraction(self) -> float:
        """How much of the work is done, from 0 to 1; without `share`, by keys."""
        return self.done / max(1, self.total) if self.share is None else self.share


AT_ITS_OWN_PACE = 0.05
"""The share of a job from which on its own pace tells more than that of jobs before it."""


def remaining_s(progress: Progress, elapsed_s: float, takes_s: float | None) -> float | None:
    """Seconds that a job takes still: at its own pace, and at its beginning as `takes_s` (of jobs before it) says.

    None where neither says it.
    """
    if progress.fraction >= AT_ITS_OWN_PACE:
        return elapsed_s * (1 - progress.fraction) / progress.fraction
    return takes_s - elapsed_s if takes_s is not None and takes_s > elapsed_s else None


class Forecast(Contract):
    """What a job has to do, and when, as far as jobs before it tell.

    `missing` keys are not measured yet. `takes_s`: seconds from its start to its end, as its device took for the jobs
    most like it in the same runtime; None without any. `starts_in_s`: seconds until its device has done what is before
    it; None if that is not known, or no agent is there.
    """

    missing: Count
    takes_s: NonNegative | None
    starts_in_s: NonNegative | None


class Waiting(Contract):
    """What a queued job waits for.

    `position` is 1 for the job that is next, counted among those that one of its devices may take. `device` is the name
    of the device if only one may take the job, `seen_at` when it, or the last of several, was last heard of.
    `busy_with` says what it measures now (None: nothing), since `busy_since`.
    """

    position: Annotated[int, Field(ge=1)]
    device: Text | None
    seen_at: AwareDatetime | None
    busy_with: Remark | None = None
    busy_since: AwareDatetime | None = None


class Job(Contract):
    """A job as the server sees it. `table_id` is set when a profile job is done.

    `largest_input` is the input with the most pixels among what it measures. `requested_by` is who asked for it: what
    the client said, and the name of the token. `waiting` is set only in the answer that has one queued job.
    """

    id: UUID
    request: JobRequest
    state: JobState
    progress: Progress
    attempts: Count
    error: str | None
    table_id: UUID | None
    created_at: AwareDatetime
    updated_at: AwareDatetime
    requested_by: Text | None = None
    largest_input: Shape | None = None
    started_at: AwareDatetime | None = None
    forecast: Forecast | None = None
    waiting: Waiting | None = None


class LeaseRequest(Contract):
    """An agent asks for work on its device; without work the server answers after `wait_s` (at most 25 s)."""

    id: UUID
    device: DeviceUuid
    environment: Digest
    method_version: Name
    wait_s: Annotated[float, Field(ge=0, le=25)] = 25.0


class Lease(Contract):
    """A job in an agent's hands until `expires_at` by the server's clock. `remaining`: keys not yet measured."""

    id: UUID
    token: Text
    job: Job
    remaining: tuple[Digest, ...]
    expires_at: AwareDatetime
    renew_every_s: Positive


class LeaseRenewal(Contract):
    """The answer to a renewal: go on until `expires_at`, or stop because the job was cancelled."""

    expires_at: AwareDatetime
    cancelled: bool


class Completion(Contract):
    """The end of a job: `error` is the reason of its failure, None if it is done."""

    error: Annotated[str, StringConstraints(min_length=1, max_length=4000)] | None = None
