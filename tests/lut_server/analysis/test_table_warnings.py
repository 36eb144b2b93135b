"""Warnings of a table: what its measurements observed, and nothing that they could not."""

from datetime import datetime, timezone

import uuid6

from latency_tables.client import LutClient
from latency_tables.contract import (
    NOISY_REL,
    Completion,
    DeviceReport,
    Environment,
    LatencyTable,
    Measurement,
    Method,
    Observed,
    Quality,
    Runtime,
    TableFile,
)
from lut_server.analysis.table_warnings import warnings_of
from tests.support.factories import lease_request, measurement, operation, profile
from tests.support.lut import Lut

PLAIN = Environment(os="Linux", python="3.11")
FREE = Environment(os="Linux", python="3.11", clock_policy="governor powersave, turbo on")


def test_a_gpu_that_nobody_monitored_is_no_quiet_one() -> None:
    gpu = Environment(os="Linux", python="3.11", cuda="13.0")
    assert "not monitored with 1 of 2" in warnings_of(gpu, [measured(None), measured(Observed(sm_mhz=1410))])[0]
    assert warnings_of(PLAIN, [measured(None)]) == ()


def measured(observed: Observed | None) -> Measurement:
    return Measurement(
        id=uuid6.uuid7(),
        job_id=uuid6.uuid7(),
        key="0" * 64,
        device="cpu-1",
        environment="0" * 64,
        runtime=Runtime(),
        method=Method(version="warm-1"),
        samples_us=(1.0,),
        executions_per_block=1,
        quality=Quality(converged=True),
        observed=observed,
        measured_at=datetime.now(timezone.utc),
    )


def test_what_is_well_or_not_known_is_no_warning() -> None:
    unknown, well = Observed(), Observed(clocks="locked", noise_rel=NOISY_REL, foreign_processes=0)
    assert warnings_of(FREE, [measured(None), measured(unknown), measured(well)]) == ()


def test_each_trouble_is_said_once_with_how_many_operations_it_touched() -> None:
    every = [Observed(clocks="not locked", noise_rel=0.09, foreign_processes=1), Observed(noise_rel=0.06), Observed()]
    clocks, noise, foreign = warnings_of(FREE, [measured(item) for item in every])
    assert "not locked (governor powersave, turbo on), for 1 of 3 operations of the table" in clocks
    assert "scattered by 9 % (over 5 % with 2 of 3 operations of the table)" in noise
    assert "with 1 of 3 operations of the table" in foreign
    assert "()" not in warnings_of(PLAIN, [measured(every[0])])[0]


def build(client: LutClient, by: DeviceReport, observed: Observed) -> LatencyTable:
    client.submit_job(profile(operation()))
    lease = client.claim(lease_request(by))
    assert lease is not None
    result = measurement(lease, lease.remaining[0], by).model_copy(update={"observed": observed})
    client.put_measurement(result)
    done = client.complete(lease.id, lease.token, Completion())
    assert done.table_id is not None
    return client.table(done.table_id)


def test_a_table_carries_its_warnings_onto_its_page_and_into_files(lut: Lut, device: DeviceReport) -> None:
    table = build(lut.client, device, Observed(noise_rel=0.12))
    (warning,) = table.warnings
    assert "scattered by 12 %" in warning
    page = lut.http.get(f"/tables/{table.id}").text
    assert warning in page
    assert "Something disturbed the measurements" in page
    file = TableFile(content_digest=table.digest, table=table)
    assert TableFile.model_validate_json(file.model_dump_json()).table.warnings == table.warnings


def test_a_table_without_trouble_has_no_note(lut: Lut, device: DeviceReport) -> None:
    table = build(lut.client, device, Observed(noise_rel=0.01))
    assert table.warnings == ()
    assert "Something disturbed the measurements" not in lut.http.get(f"/tables/{table.id}").text
