"""Networks whose cost depends on the input: what an input takes in the mean."""

import math
from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from pydantic import Field, model_validator

from latency_tables.contract.base import MAX_NETWORKS, Contract, Digest, NonNegative, Positive, Text
from latency_tables.contract.devices import Device, Runtime
from latency_tables.contract.networks import Prediction
from latency_tables.contract.specs import NetworkSpec

Rate = Annotated[
    float,
    Field(gt=0, le=1e6, description="Times per input: a probability, or more where paths do not exclude each other."),
]


class Path(Contract):
    """A network that an input may take, or that is executed beside it, and how often per input.

    A path holds all that is executed until the answer is there, earlier heads and gates included.
    """

    label: Text
    network: NetworkSpec
    rate: Rate


class ExpectationRequest(Contract):
    """Ask what an input costs in the mean, by the newest table of a device, or of every device.

    `device` is a uuid, or a name that only one device has. All paths are of one definition of a space.
    """

    paths: Annotated[tuple[Path, ...], Field(min_length=1, max_length=MAX_NETWORKS)]
    device: Text | None = None
    runtime: Runtime = Runtime()

    @model_validator(mode="after")
    def _check(self) -> "ExpectationRequest":
        if len({(path.network.space, path.network.space_digest) for path in self.paths}) > 1:
            raise ValueError(
                "paths: they are of several spaces or definitions of one; request those of each by itself and add up"
            )
        return self


class Expectation(Contract):
    """What an input costs in the mean on a device: Σ rate · latency over the paths.

    `paths` are predictions of each path by itself, in the order of the request. `predicted_us` lies between `low_us`
    and `high_us` with a probability of 90 %, of one posterior for all paths: intervals of paths that share operations
    do not add up. Unlike a prediction it is made from every measured network, its own paths too. These are None while
    the table has no calibration (`calibration_id`). Rates are of single inputs: in larger batches, inputs leave at
    different exits.
    """

    device: Device
    environment: Digest
    runtime: Runtime
    table_id: UUID
    raw_us: Positive
    calibration_id: UUID | None = None
    predicted_us: Positive | None = None
    low_us: NonNegative | None = None
    high_us: Positive | None = None
    paths: tuple[Prediction, ...]


def share_in_time(rates: Sequence[float], paths: Sequence[Prediction], deadline_us: float) -> float | None:
    """The share of inputs whose path takes no longer than a deadline, with a probability of 95 % each.

    `paths` are those of an expectation, with their rates. None where the rates do not add up to 1, so that they are no
    shares, or where a path has no interval.
    """
    high_us = [path.high_us for path in paths]
    if None in high_us or not math.isclose(sum(rates), 1, abs_tol=1e-6):
        return None
    return sum(rate for rate, high in zip(rates, high_us, strict=True) if high is not None and high <= deadline_us)
