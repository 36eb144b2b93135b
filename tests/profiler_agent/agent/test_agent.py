"""Agents against a real server, each a process: whole jobs, kills, signals, refusals."""

import signal
import time

import uuid6

from latency_tables.client import LutClient
from latency_tables.contract import DeviceReport, Effort, Job, JobRequest, LeaseRequest, NetworkSpec, Progress, Runtime
from profiler_agent.agent.lease import Renewal
from profiler_agent.agent.process import inspect_device
from profiler_agent.measuring.procedure import METHOD_VERSION
from tests.support import toy_space
from tests.support.agents import Agents, profile, wait_until
from tests.support.processes import Server

EXIT_S = 30
START_SECOND_S = 60


def submit(client: LutClient, request: JobRequest) -> Job:
    return client.submit_job(request)


def state(client: LutClient, job: Job) -> str:
    return client.job(job.id).state


def operations(count: int) -> JobRequest:
    return profile(*(toy_space.operation("conv" if side % 2 else "pool", side) for side in range(8, 8 + count)))


def long_job() -> JobRequest:
    """A job whose rounds do not end by themselves soon, though some of its keys are measured at once."""
    return profile(toy_space.operation("conv"), effort=Effort(target_rel=1e-9, min_blocks=1000))


def test_a_job_is_done_whole_and_nothing_is_measured_twice(server: Server, client: LutClient, agents: Agents) -> None:
    request = operations(6)
    first = submit(client, request)
    network = NetworkSpec.of(toy_space.name, toy_space.digest, {}, (8, 16, 16), {toy_space.operation("conv"): 2})
    second = submit(client, profile(networks=(network,)))
    third = submit(client, request)
    traces = agents.folder / "traces"
    assert agents.once(server.url, "--trace", str(traces)) == 0
    done = client.job(first.id)
    assert (done.state, state(client, second), state(client, third)) == ("done", "done", "done")
    assert done.table_id is not None
    table = client.table(done.table_id)
    table.require(request.operations)
    measured = client.measurements(job_id=first.id)
    assert sorted(item.key for item in measured) == sorted(request.keys)
    assert all(len(item.samples_us) >= 6 and item.runtime == request.runtime for item in measured)
    settings = dict(measured[0].method.settings)
    assert {"seed", "target_rel", "min_blocks", "block_ms", "warm_up", "memory_format", "allocator"} <= set(settings)
    assert settings["threads"] == 1
    assert client.measurements(job_id=third.id) == []
    assert [item.key for item in client.measurements(job_id=second.id)] == [network.digest]
    assert all(item.observed and item.observed.noise_rel is not None for item in measured)
    assert {path.stem for path in traces.glob("*.npz")} == {str(first.id), str(second.id)}
    assert len(list(agents.folder.glob("*/standard/*.json"))) == 1, "both jobs share the standard state"


def test_a_server_killed_in_the_middle_loses_and_doubles_nothing(
    server: Server, client: LutClient, agents: Agents
) -> None:
    # Different efforts to converge: results come one by one, and the server is gone between them.
    quick, slow = (
        operations(4),
        profile(
            *(toy_space.operation("conv", side) for side in range(30, 40)),
            effort=Effort(target_rel=0.02, min_blocks=40),
        ),
    )
    jobs = [submit(client, request) for request in (quick, slow)]
    agent = agents.start("run", server.url)
    wait_until(lambda: state(client, jobs[1]) == "leased")
    server.kill()
    wait_until(lambda: "results wait in the outbox" in agents.log().read_text())
    assert agent.poll() is None
    server.start()
    wait_until(lambda: state(client, jobs[1]) == "done")
    for job, request in zip(jobs, (quick, slow), strict=True):
        assert sorted(item.key for item in client.measurements(job_id=job.id)) == sorted(request.keys)
    agent.send_signal(signal.SIGTERM)
    assert agent.wait(EXIT_S) == 0


def test_an_agent_killed_in_the_middle_goes_on_where_it_was(server: Server, client: LutClient, agents: Agents) -> None:
    # Some keys converge soon, others only when the budget is over.
    effort = Effort(target_rel=0.005, budget_s=6)
    request = profile(*(toy_space.operation("conv", side) for side in range(20, 32)), effort=effort)
    job = submit(client, request)
    agent = agents.start("run", server.url)
    wait_until(lambda: len(client.measurements(job_id=job.id)) >= 1)
    agent.kill()
    agent.wait(EXIT_S)
    # It has the lease still; the next start resumes it instead of waiting for it to expire.
    again = agents.start("run", server.url)
    wait_until(lambda: state(client, job) == "done")
    assert sorted(item.key for item in client.measurements(job_id=job.id)) == sorted(request.keys)
    again.send_signal(signal.SIGTERM)
    assert again.wait(EXIT_S) == 0


def test_ctrl_c_gives_the_lease_back_and_ends_well(server: Server, client: LutClient, agents: Agents) -> None:
    job = submit(client, long_job())
    agent = agents.start("run", server.url)
    wait_until(lambda: state(client, job) == "leased")
    time.sleep(0.5)
    agent.send_signal(signal.SIGINT)
    assert agent.wait(EXIT_S) == 0
    assert (state(client, job), client.job(job.id).attempts) == ("queued", 0)


def test_ctrl_c_while_nothing_is_queued_ends_well(server: Server, client: LutClient, agents: Agents) -> None:
    agent = agents.start("run", server.url)
    wait_until(lambda: len(client.devices()) == 1)
    time.sleep(0.3)
    agent.send_signal(signal.SIGINT)
    assert agent.wait(EXIT_S) == 0


def test_a_failed_job_does_not_stop_the_agent(server: Server, client: LutClient, agents: Agents) -> None:
    unknown = submit(
        client,
        profile(toy_space.operation("conv").model_copy(update={"space": "moon"}), space="moon", requirement="moon==1"),
    )
    broken = submit(client, profile(toy_space.operation("boom")))
    good = submit(client, operations(2))
    assert agents.once(server.url) == 0
    error = client.job(unknown.id).error
    assert error is not None
    assert "'moon' is not installed" in error
    assert "pip install 'moon==1'" in error
    error = client.job(broken.id).error
    assert error is not None
    assert "toy/boom(8×16×16)" in error
    assert state(client, good) == "done"


def test_a_key_that_fails_leaves_the_others_measured(server: Server, client: LutClient, agents: Agents) -> None:
    conv, boom = toy_space.operation("conv"), toy_space.operation("boom")
    job = submit(client, profile(boom, conv))
    assert agents.once(server.url) == 0
    done = client.job(job.id)
    assert done.state == "failed"
    assert done.error is not None
    assert "1 of 2 keys" in done.error
    assert str(boom) in done.error
    assert str(conv) not in done.error
    assert [item.key for item in client.measurements(job_id=job.id)] == [conv.digest]


def test_onnxruntime_measures_a_job(server: Server, client: LutClient, agents: Agents) -> None:
    runtime = Runtime(mode="onnxruntime", threads=1)
    job = submit(client, profile(toy_space.operation("conv"), toy_space.operation("pool"), runtime=runtime))
    unable = submit(client, profile(toy_space.operation("conv"), runtime=Runtime(mode="tensorrt", precision="fp16")))
    assert agents.once(server.url) == 0
    assert state(client, job) == "done"
    settings = dict(client.measurements(job_id=job.id)[0].method.settings)
    assert (settings["graph_optimizations"], settings["spinning"], settings["threads"]) == ("all", False, 1)
    error = client.job(unable.id).error
    assert error is not None
    assert "needs an NVIDIA GPU" in error


def test_a_renewal_tells_progress_and_hears_of_the_cancellation(client: LutClient) -> None:
    inspected = inspect_device("cpu")
    client.register_device(DeviceReport(device=inspected.device, environment=inspected.environment, agent="test"))
    job = submit(client, long_job())
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


def test_a_second_agent_on_the_device_is_sent_away(server: Server, client: LutClient, agents: Agents) -> None:
    agents.start("run", server.url)
    wait_until(lambda: len(client.devices()) == 1)
    for number, state in enumerate(("", "another-state-folder"), start=1):
        assert agents.start("run", server.url, state).wait(START_SECOND_S) == 2
        assert "another agent measures on device" in agents.log(number).read_text()
