"""What a device without a table is like, from networks that it measured and from other devices."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from numpy.linalg import LinAlgError
from pydantic import ValidationError

from latency_tables.calibration import Estimate, TimedNetwork
from latency_tables.contract import (
    Basis,
    Coefficient,
    Device,
    Likeness,
    NetworkSpec,
    Prediction,
    Runtime,
    Transfer,
    TransferCard,
    TransferEvidence,
    TransferRow,
    TransferSource,
)
from latency_tables.transfer.learned import Learned, Source
from latency_tables.transfer.new_device import MIN_NETWORKS, NewDevice
from lut_server.analysis.error_card import figures
from lut_server.analysis.prediction import MeasuredNetwork, Uncalibratable

VERSION = "directions-1"


class NamedSource(NamedTuple):
    """A source with what the contract calls it."""

    named: TransferSource
    source: Source


@dataclass(frozen=True)
class Target:
    """The device that is learned, and under which conditions it measured (`environment` by digest)."""

    device: Device
    environment: str
    runtime: Runtime
    method_version: str


@dataclass(frozen=True)
class TransferPredictor:
    """Predicts networks by a transfer."""

    transfer: Transfer
    learned: Learned
    fitted: NewDevice

    def predict(self, networks: Sequence[NetworkSpec]) -> list[Prediction]:
        """A network of the transfer's evidence is predicted from the others. Raises UnknownOperations."""
        held_out = {evidence.network: evidence for evidence in self.transfer.evidence if evidence.predicted_us}
        estimates = self.fitted.predict(self.learned.counts(networks))
        return [
            _prediction(self.transfer, network, estimate, held_out.get(network.digest))
            for network, estimate in zip(networks, estimates, strict=True)
        ]


def observed_of(measured: Sequence[MeasuredNetwork]) -> tuple[Basis, list[TimedNetwork]]:
    """Which latency counts, and that of each network."""
    normalized = all(measurement.normalized_us is not None for _, measurement in measured)
    basis: Basis = "normalized_us" if normalized else "median_us"
    return basis, [TimedNetwork.of(network, measurement, basis) for network, measurement in measured]


def transferred(
    target: Target,
    measured: Sequence[MeasuredNetwork],
    learned: Learned,
    sources: Sequence[NamedSource],
    id: UUID,
    now: datetime,
) -> Transfer:
    """The transfer to a device by measured networks (MIN_NETWORKS at least); `sources` are those of `learned`.

    Raises:
        Uncalibratable: the latencies are too far apart to compute with.
    """
    try:
        return _transferred(target, measured, learned, sources, id, now)
    except (LinAlgError, ValidationError, OverflowError) as error:
        raise Uncalibratable(f"{target.device.name} with {len(measured)} networks: {error}") from error


def _transferred(
    target: Target,
    measured: Sequence[MeasuredNetwork],
    learned: Learned,
    sources: Sequence[NamedSource],
    id: UUID,
    now: datetime,
) -> Transfer:
    basis, observed = observed_of(measured)
    fitted = learned.new_device(observed)
    held_out = fitted.leave_one_out() if len(measured) > MIN_NETWORKS else None
    columns = fitted.columns()
    names = [next(named for named, source in sources if source is kept) for kept in learned.sources]
    network = measured[0].network
    return Transfer(
        id=id,
        created_at=now,
        device=target.device,
        environment=target.environment,
        runtime=target.runtime,
        method_version=target.method_version,
        space=network.space,
        space_digest=network.space_digest,
        version=VERSION,
        basis=basis,
        counted=learned.features.counted,
        sources=tuple(names),
        likeness=tuple(
            Likeness(kind="source", name=names[alike].name, share=share)
            if isinstance(alike, int)
            else Likeness(kind=alike, share=share)
            for alike, share in fitted.likeness
        ),
        constant_us=Coefficient(kind="constant", mean=float(columns.mean_us[0]), std=float(columns.std_us[0])),
        rows=tuple(
            TransferRow(key=operation.digest, latency_us=float(mean), std_us=float(std))
            for operation, mean, std in zip(
                learned.features.operations, columns.mean_us[1:], columns.std_us[1:], strict=True
            )
        ),
        evidence=tuple(
            TransferEvidence(
                network=item.network.digest,
                measurement_id=item.measurement.id,
                measured_us=timed.measured_us,
                predicted_us=held_out and held_out[number].latency_us,
                low_us=held_out and held_out[number].low_us,
                high_us=held_out and held_out[number].high_us,
            )
            for number, (item, timed) in enumerate(zip(measured, observed, strict=True))
        ),
        card=_card(held_out, observed, measured) if held_out else None,
    )


def _card(
    held_out: Sequence[Estimate], observed: Sequence[TimedNetwork], measured: Sequence[MeasuredNetwork]
) -> TransferCard:
    measured_us = [timed.measured_us for timed in observed]
    inside = [
        estimate.low_us <= latency <= estimate.high_us for estimate, latency in zip(held_out, measured_us, strict=True)
    ]
    return TransferCard(
        networks=len(measured),
        predicted=figures([estimate.latency_us for estimate in held_out], measured_us),
        coverage90=sum(inside) / len(inside),
        measured_at=max(item.measurement.measured_at for item in measured),
    )


def _prediction(
    transfer: Transfer, network: NetworkSpec, estimate: Estimate, held_out: TransferEvidence | None
) -> Prediction:
    return Prediction(
        network=network.digest,
        device=transfer.device,
        environment=transfer.environment,
        runtime=transfer.runtime,
        transfer_id=transfer.id,
        predicted_us=held_out.predicted_us if held_out else estimate.latency_us,
        low_us=held_out.low_us if held_out else estimate.low_us,
        high_us=held_out.high_us if held_out else estimate.high_us,
    )
