"""What a server knows already of the operations that are to be measured, and why a near table is of no use."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from latency_tables.client import LutClient
from latency_tables.contract import (
    Device,
    Environment,
    Forecast,
    Job,
    JobRequest,
    LatencyTable,
    Runtime,
    TableSummary,
)
from latency_tables.plain_text import age, moment
from lgcnet_search.space import SPACE
from lgcnet_search.space.digest import space_digest

SECONDS = {"cpu": 1.6, "cuda": 0.5}
"""What measuring an operation takes at most, where no budget is given: the agents' default (measuring/procedure.py)."""
BUILDING_S = 30.0
"""Until the first is measured."""
NOT_USED_SHOWN = 3
ENVIRONMENT = "environment"


@dataclass(frozen=True)
class Known:
    """Of the operations, how many are not measured yet under equal conditions; `not_used` says of near tables why not.

    `outdated` are those of them that only another environment keeps from being used, which nobody may have meant.
    `before` jobs are queued or measured on the device.
    """

    device: Device
    forecast: Forecast
    outdated: tuple[str, ...]
    not_used: tuple[str, ...]
    before: int

    def duration(self) -> str:
        """When measuring what is missing can start, and how long it takes, in words."""
        takes_s, starts_in_s = self.forecast.takes_s, self.forecast.starts_in_s
        if takes_s is None:
            seconds = BUILDING_S + self.forecast.missing * SECONDS[self.device.kind]
            text = f"about {age(seconds)} at most (no job of its kind was measured there before)"
        else:
            text = f"about {age(takes_s)}, as jobs like it did"
        if self.before:
            text += f", after {self.before} job{'s' * (self.before != 1)} that {self.device.name} has before it"
        return f"{text}, in about {age(starts_in_s)}" if starts_in_s else text


def look_up(client: LutClient, device: Device, request: JobRequest) -> Known:
    """Ask the server what is known of a request for a device; nothing is queued.

    Of near tables, those that only another environment keeps from being used come first. Raises LutError as queueing it
    would.
    """
    runtime, forecast = request.runtime, client.forecast(request)
    environment = client.device(device.uuid).environment.of_mode(runtime.mode)
    summaries = client.tables(device=device.uuid, space=SPACE)[::-1]
    reasons: list[tuple[bool, str]] = []
    if forecast.missing:
        near = [summary for summary in summaries if _differences(summary, environment, runtime)]
        reasons = list(_why_not(client, near, environment, runtime))
    return Known(
        device,
        forecast,
        outdated=tuple(line for is_outdated, line in reasons if is_outdated),
        not_used=tuple(line for _, line in reasons),
        before=len(_before(client, device)),
    )


def _differences(summary: TableSummary, environment: Environment, runtime: Runtime) -> list[str]:
    """In what a table is of other conditions, in words; the environment's own differences take the whole table."""
    differences = []
    if summary.space_digest != space_digest():
        differences.append("another definition of the space's operations")
    for name in Runtime.model_fields:
        there, here = getattr(summary.runtime, name), getattr(runtime, name)
        if there != here:
            differences.append(f"{name.replace('_', ' ')} {there}, not {here}")
    if summary.environment != environment.digest:
        differences.append(ENVIRONMENT)
    return differences


def _why_not(
    client: LutClient, near: Collection[TableSummary], environment: Environment, runtime: Runtime
) -> Iterator[tuple[bool, str]]:
    """A line for the newest table of each kind of difference, nearest first, and whether that is the environment."""
    kinds: dict[tuple[str, ...], TableSummary] = {}
    for summary in near:
        kinds.setdefault(tuple(_differences(summary, environment, runtime)), summary)
    nearest = sorted(kinds.items(), key=lambda kind: (kind[0] != (ENVIRONMENT,), len(kind[0])))
    for differences, summary in nearest[:NOT_USED_SHOWN]:
        shown = [difference for difference in differences if difference != ENVIRONMENT]
        if ENVIRONMENT in differences:
            shown += _changed(client.table(summary.id), environment)
        made = f"{moment(summary.created_at)} ({summary.rows} rows)"
        yield differences == (ENVIRONMENT,), f"the table of {made} is not used: {'; '.join(shown)}"


def _changed(table: LatencyTable, environment: Environment) -> list[str]:
    return [
        f"{name.replace('_', ' ')} {_shown(getattr(table.environment, name))} → {_shown(getattr(environment, name))}"
        for name in Environment.model_fields
        if getattr(table.environment, name) != getattr(environment, name)
    ]


def _shown(value: object) -> str:
    return "none" if value is None else str(value)


def _before(client: LutClient, device: Device) -> list[Job]:
    """The jobs that this device measures, or may take before a new one."""
    return [job for job in (*client.jobs("leased"), *client.jobs("queued")) if _is_for(job, device)]


def _is_for(job: Job, device: Device) -> bool:
    selector = job.request.device
    return (
        selector.uuid in (None, device.uuid)
        and selector.kind in (None, device.kind)
        and (selector.name is None or selector.name.casefold() == device.name.casefold())
    )
