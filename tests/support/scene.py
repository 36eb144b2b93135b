"""A server as a team would have it: two GPUs with calibrated tables, a CPU, networks, jobs in every state."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import uuid6

from latency_tables.client import LutClient
from latency_tables.contract import (
    Completion,
    Costs,
    Device,
    DeviceReport,
    DeviceSelector,
    Environment,
    JobRequest,
    LatencyTable,
    Lease,
    LeaseRequest,
    Measurement,
    Method,
    NetworkSpec,
    Observed,
    OperationSpec,
    Progress,
    Quality,
    Runtime,
    TransferRequest,
    sha256,
)
from tests.support.lut import Lut

SPACE_DIGEST = sha256("the definitions of the scene's space")
GPU = Runtime()
METHOD_VERSION = "blocks-1"
HOSTILE = "<script>document.title = 'owned'</script><b>no search space</b>"

_KINDS = (
    ("conv_1x1", 1.0),
    ("conv_3x3", 9.0),
    ("sep_conv_3x3", 2.4),
    ("dil_conv_3x3", 1.4),
    ("max_pool_3x3", 0.4),
    ("factorized_reduction", 0.9),
    ("global_pool", 0.3),
    ("interpolate", 0.25),
    ("deconv_3x3", 8.0),
)
_INSIDE = {"max_pool_3x3": 0.84, "conv_1x1": 1.2, "dil_conv_3x3": 1.3}
NETWORKS = 15
_SHAPES = ((32, 193, 385), (64, 97, 193), (128, 49, 97), (48, 193, 385), (48, 97, 193), (16, 385, 769), (19, 193, 385))


def operations() -> list[OperationSpec]:
    """95 operations of nine kinds."""
    made = []
    for name, _ in _KINDS:
        for shape in _SHAPES:
            for stride in (1, 2):
                params = {"out_channels": shape[0] * stride, "stride": stride}
                made.append(
                    OperationSpec(
                        space="streets",
                        space_digest=SPACE_DIGEST,
                        name=name,
                        input_shapes=(shape,),
                        params=tuple(params.items()),
                    )
                )
    return made[:95]


def gpu(uuid: str, name: str, torch: str = "2.13.0") -> DeviceReport:
    return DeviceReport(
        device=Device(
            uuid=uuid,
            kind="cuda",
            vendor="NVIDIA",
            name=name,
            memory_bytes=12 * 2**30,
            cores=30,
            compute_capability="6.1",
        ),
        environment=Environment(
            os="Linux 6.1", python="3.11.2", torch=torch, driver="550.54", cuda="12.6", clock_policy="locked"
        ),
        agent="profiler-agent 0.1.0",
    )


def cpu(uuid: str, name: str) -> DeviceReport:
    return DeviceReport(
        device=Device(uuid=uuid, kind="cpu", vendor="Intel", name=name, memory_bytes=64 * 2**30, cores=16),
        environment=Environment(os="Linux 6.1", python="3.11.2", torch="2.13.0"),
        agent="profiler-agent 0.1.0",
    )


@dataclass(frozen=True)
class Scene:
    """What the tests refer to; `fast` shares all operations with `slow` but one."""

    slow: LatencyTable
    fast: LatencyTable
    updated: LatencyTable
    network: NetworkSpec


def furnish(lut: Lut) -> Scene:
    draw = random.Random(7)
    specs = operations()
    titan, ampere = gpu("GPU-6f1d", "NVIDIA TITAN Xp"), gpu("GPU-a91c", "NVIDIA RTX A4000")
    slow = make_table(lut.client, draw, titan, specs, speed=1.0)
    lut.clock.advance(3 * 86400)
    fast = make_table(lut.client, draw, ampere, specs[:-1], speed=1.45)
    updated = make_table(lut.client, draw, gpu("GPU-6f1d", "NVIDIA TITAN Xp", torch="2.14.0"), specs, speed=1.06)
    box = cpu("cpu-02", "Intel Xeon Gold 6338 CPU @ 2.00GHz")
    make_table(lut.client, draw, box, specs[:6], speed=0.04, runtime=Runtime(threads=4))

    network = NetworkSpec.of(
        "streets",
        SPACE_DIGEST,
        {"cells": [1, 2, 3]},
        (3, 769, 1537),
        {spec: 1 + n % 3 for n, spec in enumerate(specs[:30])},
    )
    every = [network, *drawn(draw, specs[:-1], NETWORKS)]
    for by, table in ((titan, slow), (ampere, fast)):
        lut.client.register_device(by)
        lut.client.submit_job(measure(every, by))
        lease = lut.claim(by)
        lut.client.put_measurements(
            [measured(draw, lease, one.digest, by, end_to_end_us(one, table, draw)) for one in every]
        )
        lut.client.complete(lease.id, lease.token, Completion())

    lut.client.make_transfer(TransferRequest(device=ampere.device.uuid, space="streets", space_digest=SPACE_DIGEST))

    extra = [spec.model_copy(update={"name": f"{spec.name}_wide"}) for spec in specs[:40]]
    _submit(lut, extra[:10], titan)
    lut.client.complete(*_ends(lut.claim(titan)), Completion(error=HOSTILE))
    lut.client.cancel_job(_submit(lut, extra[:5], titan))
    _submit(lut, extra, ampere)
    lease = lut.claim(ampere)
    lut.clock.advance(40)
    lut.client.renew(*_ends(lease), Progress(done=26, total=40))
    _submit(lut, extra[:20], titan)
    lut.client.submit_job(
        JobRequest(
            device=DeviceSelector(kind="cpu"),
            runtime=Runtime(threads=4),
            space="streets",
            space_digest=SPACE_DIGEST,
            requirement="streets",
            operations=tuple(specs[6:]),
        )
    )
    lut.clock.advance(25)
    return Scene(slow, fast, updated, network)


def _ends(lease: Lease) -> tuple[UUID, str]:
    return lease.id, lease.token


def _submit(lut: Lut, specs: Sequence[OperationSpec], to: DeviceReport, runtime: Runtime = GPU) -> UUID:
    return lut.client.submit_job(profile(specs, to, runtime)).id


def profile(specs: Sequence[OperationSpec], to: DeviceReport, runtime: Runtime = GPU) -> JobRequest:
    return JobRequest(
        device=DeviceSelector(uuid=to.device.uuid),
        runtime=runtime,
        space="streets",
        space_digest=SPACE_DIGEST,
        requirement="streets",
        operations=tuple(specs),
    )


def drawn(draw: random.Random, specs: Sequence[OperationSpec], count: int) -> list[NetworkSpec]:
    return [
        NetworkSpec.of(
            "streets",
            SPACE_DIGEST,
            {"drawn": number},
            (3, 769, 1537),
            {spec: draw.randint(1, 3) for spec in draw.sample(specs, draw.randint(18, 34))},
        )
        for number in range(count)
    ]


def end_to_end_us(network: NetworkSpec, table: LatencyTable, draw: random.Random) -> float:
    """Pooling is cheaper in a network than alone, and a 1×1 convolution dearer."""
    total = 0.0
    for item in network.operations:
        inside = _INSIDE.get(item.operation.name, 0.97)
        total += inside * item.count * table[item.operation].latency.median_us
    return total * draw.lognormvariate(0, 0.008)


def measure(networks: Sequence[NetworkSpec], by: DeviceReport) -> JobRequest:
    return JobRequest(
        device=DeviceSelector(uuid=by.device.uuid),
        runtime=GPU,
        space="streets",
        space_digest=SPACE_DIGEST,
        requirement="streets",
        networks=tuple(networks),
    )


def claim(by: DeviceReport) -> LeaseRequest:
    return LeaseRequest(
        id=uuid6.uuid7(),
        device=by.device.uuid,
        environment=by.environment.digest,
        method_version=METHOD_VERSION,
        wait_s=0,
    )


def make_table(
    client: LutClient,
    draw: random.Random,
    by: DeviceReport,
    specs: Sequence[OperationSpec],
    speed: float = 1.0,
    runtime: Runtime = GPU,
) -> LatencyTable:
    client.register_device(by)
    client.submit_job(profile(specs, by, runtime))
    lease = client.claim(claim(by))
    assert lease is not None
    by_key = {spec.digest: spec for spec in specs}
    client.put_measurements(
        [measured(draw, lease, key, by, _latency_us(by_key[key], speed, draw)) for key in lease.remaining]
    )
    job = client.complete(lease.id, lease.token, Completion())
    assert job.table_id is not None
    return client.table(job.table_id)


def _latency_us(spec: OperationSpec, speed: float, draw: random.Random) -> float:
    """A launch, which costs the same on both, and work by the size of the operation."""
    channels, height, width = spec.input_shapes[0]
    stride = dict(spec.params)["stride"]
    assert isinstance(stride, int)
    work = dict(_KINDS)[spec.name] * channels * channels * height * width / stride / 4e6
    return 9.0 + (draw.lognormvariate(0, 0.08) * work + 2) / speed


def measured(draw: random.Random, lease: Lease, key: str, by: DeviceReport, latency_us: float) -> Measurement:
    noisy = draw.random() < 0.06
    spread = 0.05 if noisy else 0.008
    return Measurement(
        id=uuid6.uuid7(),
        job_id=lease.job.id,
        key=key,
        device=by.device.uuid,
        environment=by.environment.digest,
        runtime=lease.job.request.runtime,
        method=Method(version=METHOD_VERSION),
        samples_us=tuple(latency_us * draw.lognormvariate(0, spread) for _ in range(30)),
        executions_per_block=50,
        costs=Costs(parameters=round(latency_us) * 40, macs=round(latency_us) * 900_000, peak_memory_bytes=24 << 20),
        quality=Quality(converged=not noisy, noisy=noisy, throttled=draw.random() < 0.02),
        observed=Observed(sm_mhz=1500.0) if by.device.kind == "cuda" else None,
        measured_at=lease.job.updated_at + timedelta(minutes=1),
    )
