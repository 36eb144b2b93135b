"""What to build engines of, from files, and what came of it, for people."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError
from rich.console import Console

from latency_tables.contract import (
    DeviceSelector,
    Job,
    JobRequest,
    LatencyTable,
    NetworkRecord,
    NetworkSpec,
    OperationSpec,
    Runtime,
    TableFile,
)
from profiler_agent.messages import EngineBuilt

Buildable = Job | JobRequest | LatencyTable | TableFile | NetworkRecord | NetworkSpec
_BUILDABLE: TypeAdapter[Buildable] = TypeAdapter(Buildable)


def requests_in(files: Sequence[Path], runtime: Runtime) -> Iterator[JobRequest]:
    """A request for each file, of the operations or networks in it.

    Raises:
        ValueError: a file holds something else.
        OSError: it cannot be read.
    """
    for file in files:
        try:
            content = _BUILDABLE.validate_json(file.read_bytes())
        except ValidationError as error:
            raise ValueError(f"files: {file} holds no job, latency table or network as JSON") from error
        yield _request(content, runtime)


def _request(content: Buildable, runtime: Runtime) -> JobRequest:
    operations: tuple[OperationSpec, ...] = ()
    networks: tuple[NetworkSpec, ...] = ()
    if isinstance(content, (Job, JobRequest)):
        request = content.request if isinstance(content, Job) else content
        return request.model_copy(update={"runtime": runtime})
    if isinstance(content, (LatencyTable, TableFile)):
        table = content if isinstance(content, LatencyTable) else content.table
        operations = tuple(row.operation for row in table.rows)
        space, digest = table.space, table.space_digest
    else:
        network = content if isinstance(content, NetworkSpec) else content.network
        networks = (network,)
        space, digest = network.space, network.space_digest
    return JobRequest.model_validate(
        {
            "device": DeviceSelector(kind="cuda"),
            "runtime": runtime,
            "space": space,
            "space_digest": digest,
            "requirement": space,
            "operations": operations,
            "networks": networks,
        }
    )


def show_engine(console: Console, built: EngineBuilt) -> None:
    """A line for an engine: how many kernels are left of its model's nodes, and how long it took."""
    if built.error is not None:
        console.print(f"{built.label}: not built: {built.error}", markup=False, soft_wrap=True)
        return
    how = "there already" if built.taken else f"built in {built.seconds:.1f} s"
    line = f"{built.label}: {built.nodes} nodes, {built.kernels} kernels, {how}"
    console.print(line, markup=False, soft_wrap=True)
