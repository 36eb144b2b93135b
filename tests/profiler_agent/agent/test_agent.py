"""Agents against a real server, each a process: whole jobs, kills, signals, refusals."""

import signal
import subprocess
from itertools import count
from pathlib import Path
from typing import NamedTuple

import pytest
import uuid6

from latency_tables.client import LutClient, LutError
from latency_tables.contract import (
    DeviceReport,
    Effort,
    Job,
    JobRequest,
    LeaseRequest,
    NetworkSpec,
    OperationSpec,
    Progress,
    Runtime,
)
from profiler_agent.agent.lease import Renewal
from profiler_agent.machine.environment import inspect
from profiler_agent.measuring.procedure import METHOD_VERSION
from profiler_agent.runtimes.mode import library_versions
from tests.support import toy_space
from tests.support.agents import WAIT_S, Agents, profile, wait_until
from tests.support.processes import Server

pytestmark = pytest.mark.process

SIDES = count(8)
"""Every test measures at sizes of its own: the server would answer with what another one measured."""


def fresh(kind: str) -> OperationSpec:
    return toy_space.operation(kind, next(SIDES))


def state(client: LutClient, job: Job) -> str:
    return client.job(job.id).state


def operations(number: int) -> JobRequest:
    return profile(*(fresh("conv" if index % 2 else "pool") for index in range(number)))


def long_job() -> JobRequest:
    """A job whose rounds do not end by themselves soon."""
    return profile(fresh("conv"), effort=Effort(target_rel=1e-9, min_blocks=1000))


def end(process: subprocess.Popen[str], number: signal.Signals = signal.SIGTERM) -> int:
    """Send a signal; the exit status."""
    process.send_signal(number)
    return process.wait(WAIT_S)


class Served(NamedTuple):
    """The folder of an agent with its traces, and the jobs that one start of it took, in this order."""

    folder: Path
    unknown: Job
    broken: Job
    partial: Job
    first: Job
    second: Job
    third: Job


@pytest.fixture(scope="module")
def served(server: Server, site: Path, tmp_path_factory: pytest.TempPathFactory) -> Served:
    """Three that fail, one of them in part; then operations, a network, and the operations again."""
    elsewhere = toy_space.operation("conv").model_copy(update={"space": "moon"})
    counts = {toy_space.operation("conv"): 2}
    same = operations(6)
    requests = (
        profile(elsewhere, space="moon", requirement="moon==1"),
        profile(toy_space.operation("boom")),
        profile(fresh("boom"), fresh("conv")),
        same,
        profile(networks=(NetworkSpec.of(toy_space.name, toy_space.digest, {}, (8, 16, 16), counts),)),
        same,
    )
    agents = Agents(tmp_path_factory.mktemp("served"), site)
    with LutClient(server.url) as client:
        jobs = [client.submit_job(request) for request in requests]
    assert agents.once(server.url, "--trace", str(agents.folder / "traces")) == 0
    return Served(agents.folder, *jobs)


def test_a_job_is_done_whole_and_nothing_is_measured_twice(served: Served, client: LutClient) -> None:
    first, second, third = served.first, served.second, served.third
    request, (network,) = first.request, second.request.networks
    done = client.job(first.id)
    assert (done.state, state(client, second), state(client, third)) == ("done", "done", "done")
    assert done.table_id is not None
    table = client.table(done.table_id)
    table.require(request.operations)
    measured = client.measurements(job_id=first.id)
    assert sorted(measurement.key for measurement in measured) == sorted(request.keys)
    assert all(len(measurement.samples_us) >= 6 for measurement in measured)
    assert all(measurement.runtime == request.runtime for measurement in measured)
    settings = dict(measured[0].method.settings)
    assert {"seed", "target_rel", "min_blocks", "block_ms", "warm_up", "memory_format", "allocator"} <= set(settings)
    assert settings["threads"] == 1
    assert client.measurements(job_id=third.id) == []
    assert [measurement.key for measurement in client.measurements(job_id=second.id)] == [network.digest]
    assert all(measurement.observed and measurement.observed.noise_rel is not None for measurement in measured)
    traced = {path.stem for path in served.folder.glob("traces/*.npz")}
    assert {str(first.id), str(second.id)} <= traced
    assert str(third.id) not in traced
    assert len(list(served.folder.glob("*/standard/*.json"))) == 1, "all jobs share the standard state"


def test_a_server_killed_in_the_middle_loses_and_doubles_nothing(
    server: Server, client: LutClient, agents: Agents
) -> None:
    # Different efforts to converge: results come one by one, and the server is gone between them.
    quick, slow = (
        operations(4),
        profile(
            *(fresh("conv") for _ in range(10)),
            effort=Effort(target_rel=0.02, min_blocks=40),
        ),
    )
    jobs = [client.submit_job(request) for request in (quick, slow)]
    agent = agents.start(server.url)
    wait_until(lambda: state(client, jobs[1]) == "leased")
    server.kill()
    wait_until(lambda: "results wait in the outbox" in agents.log().read_text())
    assert agent.poll() is None
    server.start()
    wait_until(lambda: state(client, jobs[1]) == "done")
    for job, request in zip(jobs, (quick, slow), strict=True):
        assert sorted(measurement.key for measurement in client.measurements(job_id=job.id)) == sorted(request.keys)
    assert end(agent) == 0


def test_an_agent_killed_in_the_middle_goes_on_where_it_was(server: Server, client: LutClient, agents: Agents) -> None:
    # Some keys converge soon, others only when the budget is over.
    effort = Effort(target_rel=0.005, budget_s=6)
    request = profile(*(fresh("conv") for _ in range(12)), effort=effort)
    job = client.submit_job(request)
    agent = agents.start(server.url)
    wait_until(lambda: len(client.measurements(job_id=job.id)) >= 1)
    end(agent, signal.SIGKILL)
    # It has the lease still; the next start resumes it instead of waiting for it to expire.
    again = agents.start(server.url)
    wait_until(lambda: state(client, job) == "done")
    assert sorted(measurement.key for measurement in client.measurements(job_id=job.id)) == sorted(request.keys)
    assert end(again) == 0


def test_ctrl_c_gives_the_lease_back_and_ends_well(server: Server, client: LutClient, agents: Agents) -> None:
    job = client.submit_job(long_job())
    agent = agents.start(server.url)
    wait_until(lambda: "keys to measure" in agents.log().read_text())
    assert end(agent, signal.SIGINT) == 0
    assert (state(client, job), client.job(job.id).attempts) == ("queued", 0)
    client.cancel_job(job.id)


def test_a_job_that_fails_does_not_stop_the_agent(served: Served, client: LutClient) -> None:
    error = client.job(served.unknown.id).error
    assert error is not None
    assert "'moon' is not installed" in error
    assert "pip install 'moon==1'" in error
    error = client.job(served.broken.id).error
    assert error is not None
    assert "toy/boom(8×16×16)" in error
    assert state(client, served.first) == "done", "it came later"


def test_a_key_that_fails_leaves_the_others_measured(served: Served, client: LutClient) -> None:
    boom, conv = served.partial.request.operations
    done = client.job(served.partial.id)
    assert done.state == "failed"
    assert done.error is not None
    assert "1 of 2 keys" in done.error
    assert str(boom) in done.error
    assert str(conv) not in done.error
    assert [measurement.key for measurement in client.measurements(job_id=done.id)] == [conv.digest]


def test_onnxruntime_measures_a_job(server: Server, client: LutClient, agents: Agents) -> None:
    runtime = Runtime(mode="onnxruntime", threads=1)
    job = client.submit_job(profile(fresh("conv"), fresh("pool"), runtime=runtime))
    assert agents.once(server.url) == 0
    assert state(client, job) == "done"
    settings = dict(client.measurements(job_id=job.id)[0].method.settings)
    assert (settings["graph_optimizations"], settings["spinning"], settings["threads"]) == ("all", False, 1)
    with pytest.raises(LutError, match="needs an NVIDIA GPU"):  # the agent has registered what works
        client.submit_job(profile(fresh("conv"), runtime=Runtime(mode="tensorrt", precision="fp16")))


def test_a_renewal_tells_progress_and_hears_of_the_cancellation(client: LutClient) -> None:
    inspected = inspect("cpu", library_versions())
    client.register_device(DeviceReport(device=inspected.device, environment=inspected.environment, agent="test"))
    job = client.submit_job(long_job())
    lease = client.claim(
        LeaseRequest(
            id=uuid6.uuid7(),
            device=inspected.device.uuid,
            environment=inspected.environment.digest,
            method_version=METHOD_VERSION,
            wait_s=0,
        )
    )
    assert lease is not None
    ended: list[str] = []
    with Renewal(client, lease.model_copy(update={"renew_every_s": 0.05}), ended.append) as renewal:
        renewal.advance(3, 7)
        wait_until(lambda: client.job(job.id).progress == Progress(done=3, total=7))
        assert ended == []
        client.cancel_job(job.id)
        wait_until(lambda: ended)
    assert ended == ["the job was cancelled"]
    client.give_back(lease.id, lease.token)
    with Renewal(client, lease.model_copy(update={"renew_every_s": 0.05}), ended.append):
        wait_until(lambda: len(ended) == 2)
    assert "the lease is lost" in ended[1]


def test_a_second_agent_on_the_device_is_sent_away_and_ctrl_c_ends_the_idle_first_one_well(
    server: Server, agents: Agents
) -> None:
    first = agents.start(server.url)
    wait_until(lambda: "is registered" in agents.log().read_text())
    for number, state in enumerate(("", "another-state-folder"), start=1):
        assert agents.start(server.url, state).wait(WAIT_S) == 2
        assert "another agent measures on device" in agents.log(number).read_text()
    assert end(first, signal.SIGINT) == 0
