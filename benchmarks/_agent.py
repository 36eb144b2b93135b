"""The agent's measuring on this machine, without a server between."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from pathlib import Path

import uuid6

from latency_tables.contract import (
    DeviceSelector,
    Effort,
    JobRequest,
    LatencyTable,
    Measurement,
    NetworkSpec,
    OperationSpec,
    Runtime,
    TableRow,
)
from latency_tables.contract.tables import FIGURES
from profiler_agent.agent.process import MeasuringProcess, inspect_device
from profiler_agent.measuring.anchor import name_of
from profiler_agent.measuring.procedure import METHOD_VERSION
from profiler_agent.messages import MeasureTask, NewMeasurement, NewStandard, Standard
from tests.support.factories import leased_job


class LocalAgent:
    """Does jobs of one runtime and space, each in processes of its own; the first one's standard state is kept.

    `traces`: folder for every block. `standard`: file of the standard state, for an agent that goes on later.
    """

    def __init__(
        self,
        runtime: Runtime,
        space: str,
        space_digest: str,
        requirement: str,
        *,
        traces: Path | None = None,
        standard: Path | None = None,
        device: str = "cpu",
    ) -> None:
        self._inspected = inspect_device(device)
        self._runtime = runtime
        self._space = {"space": space, "space_digest": space_digest, "requirement": requirement}
        self._traces = traces
        self._file = standard
        self._standard = Standard()
        if standard is not None and standard.exists():
            self._standard = Standard.model_validate_json(standard.read_text("utf-8"))

    def measure(
        self,
        operations: Sequence[OperationSpec] = (),
        networks: Sequence[NetworkSpec] = (),
        effort: Effort | None = None,
    ) -> dict[str, Measurement]:
        """By key. Raises JobFailed with the agent's reason for a job that it cannot do."""
        request = JobRequest.model_validate(
            {
                "device": DeviceSelector(uuid=self._inspected.device.uuid),
                "runtime": self._runtime,
                **self._space,
                "operations": tuple(operations),
                "networks": tuple(networks),
                "effort": effort or Effort(),
            }
        )
        task = MeasureTask(
            device=self._inspected.torch_device,
            job=leased_job(request),
            keys=request.keys,
            threads=self._runtime.threads,
            environment=self._inspected.environment.of_mode(self._runtime.mode).digest,
            standard=self._standard,
            trace=None if self._traces is None else str(self._traces),
        )
        measurements = {}
        for message in MeasuringProcess(task).messages():
            if isinstance(message, NewMeasurement):
                measurements[message.measurement.key] = message.measurement
            elif isinstance(message, NewStandard):
                self._standard = message.standard
                if self._file is not None:
                    self._file.write_text(message.standard.model_dump_json(), "utf-8")
        return {key: self.restated(measurement) for key, measurement in measurements.items()}

    def restated(self, measurement: Measurement) -> Measurement:
        """One of this agent's, at the standard state that it has learned since, as the server restates what it has."""
        if measurement.anchor is None:
            return measurement
        return measurement.at_standard(self._standard.readings[name_of(measurement.anchor.network)])

    def table(self, operations: Iterable[OperationSpec], measurements: dict[str, Measurement]) -> LatencyTable:
        """The measurements of these operations as the server puts them together."""
        rows = [
            TableRow(
                operation=operation,
                latency=measurement.latency,
                quality=measurement.quality,
                **{name: getattr(measurement, name) for name in FIGURES},
                work=measurement.work,
                measurement_id=measurement.id,
            )
            for operation in operations
            for measurement in [measurements[operation.digest]]
        ]
        return LatencyTable.model_validate(
            {
                "id": uuid6.uuid7(),
                "created_at": datetime.now(timezone.utc),
                "device": self._inspected.device,
                "environment": self._inspected.environment,
                "runtime": self._runtime,
                "method_version": METHOD_VERSION,
                "space": self._space["space"],
                "space_digest": self._space["space_digest"],
                "rows": rows,
            }
        )
