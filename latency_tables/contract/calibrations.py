"""Calibrations of tables, by networks that were measured end to end."""

from typing import Annotated, ClassVar, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field, model_validator

from latency_tables.contract.base import (
    MAX_NETWORKS,
    MAX_OPERATIONS,
    Contract,
    Correlation,
    Digest,
    Name,
    NonNegative,
    Positive,
    Shape,
    Share,
    Size,
    Text,
)
from latency_tables.contract.specs import NetworkSpec


class PredictionFigures(Contract):
    """How far predictions of networks are from their measured latencies; relative errors as shares (0.01 is 1 %).

    `tau` is Kendall's τ-b, `rho` Spearman's ρ; both are None where undefined.
    """

    mape: NonNegative
    max_rel: NonNegative
    within_5: Share
    within_10: Share
    rmse_us: NonNegative
    tau: Correlation | None
    rho: Correlation | None


class SizeErrors(Contract):
    """Mean relative errors of the networks of one input shape, as in the card."""

    input_shape: Shape
    networks: Size
    raw_mape: NonNegative
    calibrated_mape: NonNegative


class ErrorCard(Contract):
    """How well a table predicts whole networks, each of them from the others (leave-one-out).

    `raw` is of the sums of rows, `affine` of a straight line through them (None under 4 networks), `calibrated` of
    calibrated predictions. `coverage90`: the share of networks inside their 90 % interval. `measuring`: the mean error
    of the networks' own measurements, by their intervals (None where one has none): no prediction has less against
    them. `measured_at`: when the last of the networks was measured. `sizes`: the same errors of each input shape, where
    the networks have several.
    """

    networks: Size
    raw: PredictionFigures
    affine: PredictionFigures | None
    calibrated: PredictionFigures
    coverage90: Share
    measuring: NonNegative | None = None
    measured_at: AwareDatetime
    sizes: Annotated[tuple[SizeErrors, ...], Field(max_length=MAX_NETWORKS)] = ()

    @property
    def error(self) -> str:
        """The mean error of calibrated predictions and how much of it is measuring, in words."""
        error, measuring = self.calibrated.mape, self.measuring
        if measuring is None:
            return f"mean error {error:.1%}"
        share = "of which measuring" if measuring <= error else "no more than measuring's own"
        return f"mean error {error:.1%}, {share} {measuring:.1%}"


class Evidence(Contract):
    """A network that was measured end to end, and what was predicted for it from the others.

    `operations`: how many operations it executes. `std_rel`: standard deviation of its measurement, relative, by the
    interval; None without one.
    """

    network: Digest
    measurement_id: UUID
    operations: Size
    measured_us: Positive
    std_rel: NonNegative | None = None
    raw_us: Positive
    predicted_us: Positive
    low_us: NonNegative
    high_us: Positive


class InNetworkRow(Contract):
    """What an operation costs inside a network, beside what it costs alone; `key` is its digest."""

    key: Digest
    isolated_us: Positive
    latency_us: Positive


class Coefficient(Contract):
    """A parameter of a calibration, with its posterior standard deviation; `kind` says of which operations."""

    kind: Text
    mean: float
    std: NonNegative


class OtherDevice(Contract):
    """Another device or runtime of the space, by its newest calibration then.

    `coefficients`: what each row of the calibration costs inside a network there, over alone; in the order of `rows`.
    """

    name: Text
    calibration_id: UUID
    coefficients: Annotated[tuple[Positive, ...], Field(max_length=MAX_OPERATIONS)]


MAX_OTHERS = 8
CalibrationPart = Literal["student_t", "scale", "devices"]
"""What a calibration may have beside its table's own groups of operations and Gaussian noise: noise with heavier tails,
one factor for all rows, and what other devices' operations cost inside networks."""

Basis = Literal["normalized_us", "median_us"]
"""Which latency of rows and networks counts: at the machine's standard state if all have that, else the median."""


class Calibration(Contract):
    """A table's calibration by networks that were measured end to end; immutable, new evidence makes a new one.

    Latencies inside a network are `rows`: a row of the table times the coefficient of its kind. A network costs their
    sum and `constant_us`. `version` names the procedure, `basis` the latencies that it compared. `parts` are kept where
    they predict held-out networks better, `others` with the part `devices`. `digest` (of all fields but `id` and
    `created_at`) is its content.
    """

    not_content: ClassVar = frozenset({"id", "created_at"})

    id: UUID
    created_at: AwareDatetime
    table_id: UUID
    table_digest: Digest
    version: Name
    basis: Basis
    parts: tuple[CalibrationPart, ...] = ()
    others: Annotated[tuple[OtherDevice, ...], Field(max_length=MAX_OTHERS)] = ()
    coefficients: Annotated[tuple[Coefficient, ...], Field(min_length=1, max_length=MAX_OPERATIONS)]
    constant_us: Coefficient
    rows: Annotated[tuple[InNetworkRow, ...], Field(min_length=1, max_length=MAX_OPERATIONS)]
    evidence: Annotated[tuple[Evidence, ...], Field(min_length=1, max_length=MAX_NETWORKS)]
    card: ErrorCard

    @model_validator(mode="after")
    def _check(self) -> "Calibration":
        for other in self.others:
            if len(other.coefficients) != len(self.rows):
                raise ValueError(
                    f"others: {other.name} has {len(other.coefficients)} coefficients for {len(self.rows)} rows; give "
                    "one for each"
                )
        return self


CALIBRATION_SUFFIX = ".calibration.json"
"""`ID.calibration.json` lies beside the file of the table ID."""


class CalibrationFile(Contract):
    """A calibration in a file, with the digest of its content and the networks of its evidence."""

    content_digest: Digest
    calibration: Calibration
    networks: Annotated[tuple[NetworkSpec, ...], Field(max_length=MAX_NETWORKS)]

    @model_validator(mode="after")
    def _check(self) -> "CalibrationFile":
        if self.calibration.digest != self.content_digest:
            raise ValueError(
                f"content_digest={self.content_digest!r}: the content of calibration {self.calibration.id} has digest "
                f"{self.calibration.digest}; the file was changed or damaged, or a newer version wrote it"
            )
        if [evidence.network for evidence in self.calibration.evidence] != [
            network.digest for network in self.networks
        ]:
            raise ValueError("networks: not those of the calibration's evidence, in its order")
        return self


class CalibrationSummary(Contract):
    """A calibration without rows and evidence."""

    id: UUID
    content_digest: Digest
    created_at: AwareDatetime
    table_id: UUID
    version: Name
    card: ErrorCard
