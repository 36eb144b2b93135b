"""Which table is the newest, whatever the server's clock said meanwhile."""

from datetime import timedelta

import pytest
import uuid6

from latency_tables.contract import DeviceReport
from lut_server.storage import imports, tables
from lut_server.storage.database import Database
from tests.support import truth
from tests.support.factories import CPU, operation, profile, report
from tests.support.lut import Lut


def test_a_table_that_was_built_later_is_newer_after_the_clock_was_put_back(lut: Lut) -> None:
    by = report()
    lut.clock.advance(3600)
    first = lut.build_table(profile(operation(8)), by)
    lut.clock.advance(-3540)
    job = lut.run_job(profile(operation(8), operation(16)), by)
    newest = lut.client.newest_table(by.device.uuid, "small", CPU)
    assert newest.id == job.table_id
    assert newest.created_at < first.created_at, "each keeps the date that its server had"
    assert [table.rows for table in lut.client.tables()] == [1, 2]
    (health,) = lut.client.device(by.device.uuid).newest_tables
    assert health.id == job.table_id
    assert str(job.table_id) in lut.http.get("/").text


def test_a_calibration_that_was_made_later_is_newer_too(lut: Lut) -> None:
    by = report()
    lut.clock.advance(3600)
    table = truth.build_table(lut, by)
    truth.measure(lut, by, truth.draw_networks(3, seed=2))
    lut.clock.advance(-3500)
    truth.measure(lut, by, truth.draw_networks(3, seed=5))
    assert lut.client.calibration(table.id).card.networks == 6


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_date_decides_against_an_imported_table(lut: Lut, database_url: str, device: DeviceReport) -> None:
    """Also one that is dated after every table that was built here."""
    built = lut.build_table(profile(operation(8)), device)
    database = Database(database_url)
    for days, is_newest in ((-1, False), (0.5, True)):
        created_at = built.created_at + timedelta(days=days)
        other = built.model_copy(update={"id": uuid6.uuid7(), "created_at": created_at})
        with database.write() as session:
            imports.put(session, other, lut.clock.now)
        with database.read() as session:  # not as other processes see it within the next second
            newest = tables.find_newest(session, device.device.uuid, CPU, "small").id
        assert newest == (other.id if is_newest else built.id)
    later = lut.build_table(profile(operation(16)), device)
    assert lut.client.newest_table(device.device.uuid, "small", CPU).id == later.id, "it follows what it extends"
    database.close()
