"""Copies of the database and tables in files: by the commands, on real databases, while a server runs."""

import json
import re
import shutil
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest
import uuid6
from typer.testing import CliRunner, Result

from latency_tables.client import LutClient, UnreadableTable, load_calibration, load_table
from latency_tables.contract import Calibration, LatencyTable, Measurement, Quality
from lut_server.__main__ import cli
from lut_server.app import create_app
from lut_server.exchange.formats import COLUMNS
from lut_server.storage.database import Database
from tests.support import truth
from tests.support.factories import lease_request, measurement, operation, profile, report
from tests.support.lut import Lut, serving
from tests.support.processes import Server

OPERATIONS = tuple(operation(channels) for channels in (3, 8, 16))


def lut_server(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def refused(*arguments: str | Path) -> str:
    done = lut_server(*arguments)
    assert done.exit_code == 2, done.output
    (line,) = done.stderr.splitlines()
    return line


def tables_in(folder: Path) -> int:
    with closing(sqlite3.connect(folder / "lut.sqlite")) as database:
        count: int = database.execute("SELECT count(*) FROM tables").fetchone()[0]
    return count


def private_files(folder: Path) -> set[str]:
    """Names of the files that only their owner may read."""
    return {file.name for file in folder.iterdir() if stat.S_IMODE(file.stat().st_mode) == 0o600}


@pytest.fixture
def table(lut: Lut) -> LatencyTable:
    by = report()
    lut.client.register_device(by)
    lut.client.submit_job(profile(*OPERATIONS))
    lease = lut.claim(by)
    for index, key in enumerate(lease.remaining):
        quality = Quality(converged=index > 0, noisy=index == 0, rejected_blocks=index)
        costs = {"parameters": 9, "macs": 10**9, "peak_memory_bytes": index} if index else None
        taken = measurement(lease, key, by, 2 + 100 / 3 * index, quality).model_dump()
        work = {"macs": 10**9, "elements": 7, "weights": 9, "launches": 3, "unused": index == 1} if index else None
        taken.update(costs=costs, work=work, normalized_us=0.1 + index if index else None)
        lut.client.put_measurement(Measurement.model_validate(taken))
    done = lut.finish(lease.model_copy(update={"remaining": ()}), by)
    assert done.table_id is not None
    return lut.client.table(done.table_id)


@pytest.mark.parametrize("format", ["json", "csv", "parquet"])
def test_a_table_goes_to_another_server_and_is_the_same(
    database_url: str, lut: Lut, table: LatencyTable, tmp_path: Path, format: str
) -> None:
    out, other = tmp_path / "out", tmp_path / "other"
    exported = lut_server("export", out, "--format", format, "--database-url", database_url)
    assert exported.exit_code == 0, exported.stderr
    assert table.digest in exported.stdout
    for _ in range(2):
        imported = lut_server("import", out, "--data-dir", other)
        assert imported.exit_code == 0, imported.stderr
    again = tmp_path / "again"
    assert lut_server("export", again, "--data-dir", other).exit_code == 0
    (file,) = again.iterdir()
    read = json.loads(file.read_text())
    assert LatencyTable.model_validate(read["table"]) == table
    assert read["content_digest"] == table.digest
    over_http = lut.http.get(f"/v1/tables/{table.id}", params={"format": format})
    assert over_http.status_code == 200
    if format != "json":
        assert over_http.content == (out / f"{table.id}.{format}").read_bytes()


@pytest.mark.parametrize("format", ["json", "csv"])
def test_a_calibration_goes_with_its_table_and_predicts_there_as_here(
    database_url: str, lut: Lut, tmp_path: Path, format: str
) -> None:
    out, other = tmp_path / "out", tmp_path / "other"
    table = truth.build_table(lut, report())
    truth.measure(lut, report(), truth.draw_networks(6, seed=2))
    here = lut.client.calibration(table.id)
    exported = lut_server("export", out, "--format", format, "--database-url", database_url)
    assert exported.exit_code == 0, exported.stderr
    assert here.digest in exported.stdout
    for _ in range(2):
        imported = lut_server("import", out, "--data-dir", other)
        assert imported.exit_code == 0, imported.stderr
    server = Server(f"sqlite:///{other}/lut.sqlite", tmp_path)
    server.start()
    try:
        with LutClient(server.url, cache=False) as client:
            assert client.calibration(table.id) == here
            assert [item.id for item in client.calibrations()] == [here.id]
            asked = [*truth.draw_networks(4, seed=2), *truth.draw_networks(4, seed=9)]
            for there, message in zip(
                client.predict(asked, runtime=table.runtime),
                lut.client.predict(asked, runtime=table.runtime),
                strict=True,
            ):
                assert there.predicted_us == pytest.approx(message.predicted_us)
                assert there.high_us == pytest.approx(message.high_us)
            assert client.table(table.id, max_mape=0.5) == table
    finally:
        server.kill()


def test_an_imported_calibration_stays_until_there_are_as_many_networks_here(
    database_url: str, lut: Lut, tmp_path: Path
) -> None:
    table = truth.build_table(lut, report())
    specs = truth.draw_networks(6, seed=2)
    truth.measure(lut, report(), specs)
    there = lut.client.calibration(table.id)
    lut_server("export", tmp_path / "out", "--database-url", database_url)
    assert lut_server("import", tmp_path / "out", "--data-dir", tmp_path / "other").exit_code == 0
    database = Database(f"sqlite:///{tmp_path}/other/lut.sqlite")
    with serving(create_app(database, lut.clock)) as url:
        other = Lut(url, lut.clock)
        for few in (specs[:3], specs[3:5]):
            truth.measure(other, report(), few)
            assert other.client.calibration(table.id) == there
        truth.measure(other, report(), specs[5:])
        assert other.client.calibration(table.id).id != there.id
        other.client.close()
        other.http.close()
    database.close()


def test_a_calibration_that_was_changed_or_is_of_another_table_is_refused(
    database_url: str, lut: Lut, tmp_path: Path
) -> None:
    out, other = tmp_path / "out", tmp_path / "other"
    table = truth.build_table(lut, report())
    truth.measure(lut, report(), truth.draw_networks(3, seed=2))
    lut_server("export", out, "--database-url", database_url)
    path = out / f"{table.id}.calibration.json"
    good = json.loads(path.read_text())
    assert load_calibration(out / f"{table.id}.json") == lut.client.calibration(table.id)
    assert load_calibration(out / "without.json") is None

    def refused_with(**changes: object) -> str:
        calibration = Calibration.model_validate({**good["calibration"], **changes})
        body = {**good, "calibration": calibration.model_dump(mode="json"), "content_digest": calibration.digest}
        path.write_text(json.dumps(body))
        message = refused("import", out, "--data-dir", other)
        assert tables_in(other) == 0, "all or none"
        return message

    assert "not of table" in refused_with(table_id=str(uuid6.uuid7()))
    assert "not of table" in refused_with(table_digest="0" * 64)
    assert "other operations" in refused_with(rows=good["calibration"]["rows"][1:])
    assert "in the future" in refused_with(created_at="2999-01-01T00:00:00Z")
    assert "evidence" in refused_with(evidence=good["calibration"]["evidence"][1:])
    good["calibration"]["card"]["calibrated"]["mape"] = 0.001
    path.write_text(json.dumps(good))
    assert "changed or damaged" in refused("import", out, "--data-dir", other)
    with pytest.raises(UnreadableTable, match="changed or damaged"):
        load_calibration(out / f"{table.id}.json")


def test_a_table_is_imported_over_http(lut: Lut, table: LatencyTable) -> None:
    text = lut.http.get(f"/v1/tables/{table.id}").content
    other = LatencyTable.model_validate({**json.loads(text), "id": uuid6.uuid7(), "created_at": "2025-05-01T00:00:00Z"})
    for digest, status in (("0" * 64, 422), (other.digest, 200), (other.digest, 200), (table.digest, 200)):
        answer = lut.http.put(
            f"/v1/tables/{other.id}",
            content=other.model_dump_json(),
            params={"digest": digest},
            headers={"Content-Type": "application/json"},
        )
        assert answer.status_code == status, answer.text
        assert len(lut.client.tables()) == (2 if status == 200 else 1)
    assert lut.client.table(other.id).rows == table.rows
    assert lut.client.newest_table(table.device.uuid, "small", table.runtime).id == table.id, (
        "imported later, but older"
    )
    (held,) = lut.client.device(table.device.uuid).newest_tables
    assert held.id == table.id
    compared = lut.http.get("/v1/comparisons", params={"device": [table.device.uuid] * 2}).json()
    assert {item["table"]["id"] for item in compared["tables"]} == {str(table.id)}
    page = lut.http.get(f"/devices/{table.device.uuid}").text
    assert page.index(str(table.id)) < page.index(str(other.id)), "newest first"
    changed = {**other.model_dump(mode="json"), "method_version": "blocks-2"}
    moved = LatencyTable.model_validate(changed)
    answer = lut.http.put(f"/v1/tables/{other.id}", json=changed, params={"digest": moved.digest})
    assert answer.status_code == 409, answer.text


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("format", ["json", "csv", "parquet"])
def test_what_was_changed_on_its_way_is_refused_and_nothing_is_stored(
    database_url: str, table: LatencyTable, tmp_path: Path, format: str
) -> None:
    out, other = tmp_path / "out", tmp_path / "other"
    lut_server("export", out, "--format", format, "--database-url", database_url)
    good = out / f"{table.id}.{format}"
    copy = out / f"{uuid6.uuid7()}.{format}"
    shutil.copy(good, copy)  # in the same call: all or none
    if format == "csv":
        shutil.copy(out / f"{table.id}.header.json", out / f"{copy.stem}.header.json")
    _change(copy, format)
    message = refused("import", good, copy, "--data-dir", other)
    assert copy.name in message
    assert "digest" in message
    assert tables_in(other) == 0
    copy.write_bytes(copy.read_bytes()[:-40])
    assert copy.name in refused("import", good, copy, "--data-dir", other)
    assert tables_in(other) == 0


def _change(path: Path, format: str) -> None:
    if format == "parquet":
        import pyarrow.parquet

        read = pyarrow.parquet.read_table(path)
        changed = [value * 2 for value in read["median_us"].to_pylist()]
        index = COLUMNS.index("median_us")
        pyarrow.parquet.write_table(read.set_column(index, read.schema.field(index), [changed]), path)
    else:
        text = path.read_text()
        assert "35.3" in text
        path.write_text(text.replace("35.3", "35.4"))


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other"
    for name, content in {
        "a.json": b"[" * 100_000,
        "b.json": b'{"content_digest": NaN}',
        "c.csv": b"space,name\n1,2\n",
        "d.parquet": b"PAR1 no",
        "e.txt": b"",
    }.items():
        (tmp_path / name).write_bytes(content)
        assert name.split(".")[0] + "." in refused("import", tmp_path / name, "--data-dir", other)
    (tmp_path / "c.header.json").write_text('{"content_digest": 1, "space_digest": "../.."}')
    assert "c.csv" in refused("import", tmp_path / "c.csv", "--data-dir", other)
    (tmp_path / "empty").mkdir()
    assert "no table" in refused("import", tmp_path / "empty", "--data-dir", other)


def test_backed_up_while_it_is_written_and_restored_while_it_is_read(tmp_path: Path) -> None:
    source, copy = tmp_path / "source", tmp_path / "copy.sqlite"
    source.mkdir()
    server = Server(f"sqlite:///{source}/lut.sqlite", tmp_path)
    server.start()
    try:
        with LutClient(server.url) as client:
            by = report()
            client.register_device(by)
            client.submit_job(profile(*OPERATIONS))
            lease = client.claim(lease_request(by))
            assert lease is not None
            first = measurement(lease, lease.remaining[0], by)
            client.put_measurement(first)
            assert private_files(source) == {"lut.sqlite", "lut.sqlite-shm", "lut.sqlite-wal"}
            done = lut_server("backup", copy, "--data-dir", source)
            assert done.exit_code == 0, done.stderr
            assert copy.name in private_files(tmp_path)
            assert [item.name for item in tmp_path.glob("*copy*")] == [copy.name], "nothing is left beside it"
            second = measurement(lease, lease.remaining[1], by)
            client.put_measurement(second)
            restored = lut_server("restore", copy, "--data-dir", source)
            assert restored.exit_code == 0, restored.stderr
            assert client.measurements() == [first]
            client.put_measurement(second)
            assert client.measurements() == [first, second], "and it goes on"
    finally:
        server.kill()
    assert "exists already" in refused("backup", copy, "--data-dir", source)


def test_a_backup_is_restored_where_there_is_no_database_yet(tmp_path: Path) -> None:
    source, copy, new = tmp_path / "source", tmp_path / "copy.sqlite", tmp_path / "new"
    lut_server("migrate", "--data-dir", source)
    lut_server("token", "create", "--role", "read", "--data-dir", source)
    lut_server("backup", copy, "--data-dir", source)
    (tmp_path / "text").write_bytes(b"no database" * 500)
    assert "text" in refused("restore", tmp_path / "text", "--data-dir", new)
    assert list(new.iterdir()) == []
    restored = lut_server("restore", copy, "--data-dir", new)
    assert restored.exit_code == 0, restored.stderr
    assert "lut.sqlite" in private_files(new)
    listed = [lut_server("token", "list", "--data-dir", folder).stdout for folder in (source, new)]
    assert listed[0] == listed[1]
    assert " read " in listed[1]


def test_a_broken_backup_is_not_restored(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    lut_server("migrate", "--data-dir", folder)
    for name, content in {"text": b"no database" * 500, "empty": b""}.items():
        (tmp_path / name).write_bytes(content)
        assert name in refused("restore", tmp_path / name, "--data-dir", folder)
    good = tmp_path / "good"
    lut_server("backup", good, "--data-dir", folder)
    data = bytearray(good.read_bytes())
    for page in range(2, 12):
        data[page * 4096 : page * 4096 + 200] = b"\xff" * 200
    (tmp_path / "torn").write_bytes(data)
    assert "torn" in refused("restore", tmp_path / "torn", "--data-dir", folder)
    with closing(sqlite3.connect(folder / "lut.sqlite")) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert "no database" in refused("backup", tmp_path / "new", "--data-dir", tmp_path / "nowhere-else")


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_postgresql_has_its_own_backup(database_url: str, tmp_path: Path) -> None:
    assert "pg_dump" in refused("backup", tmp_path / "copy", "--database-url", database_url)


def test_a_table_that_is_not_there(database_url: str, table: LatencyTable, tmp_path: Path) -> None:
    missing = uuid6.uuid7()
    message = refused(
        "export", tmp_path / "out", "--table", str(table.id), "--table", str(missing), "--database-url", database_url
    )
    assert "1 of these" in message


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("format", ["json", "csv"])
def test_a_byte_order_mark_is_no_content(
    database_url: str, lut: Lut, table: LatencyTable, tmp_path: Path, format: str
) -> None:
    """As Excel's "CSV UTF-8" and some editors of Windows write it, before tables, headers and calibrations."""
    out, other = tmp_path / "out", tmp_path / "other"
    assert lut_server("export", out, "--format", format, "--database-url", database_url).exit_code == 0
    for file in out.iterdir():
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    imported = lut_server("import", out, "--data-dir", other)
    assert imported.exit_code == 0, imported.stderr
    assert table.digest in imported.stdout
    if format == "json":
        assert load_table(out / f"{table.id}.json") == lut.client.table(table.id)


def test_an_export_of_nothing_says_so(tmp_path: Path) -> None:
    lut_server("migrate", "--data-dir", tmp_path / "data")
    assert "no tables: nothing is written" in refused("export", tmp_path / "out", "--data-dir", tmp_path / "data")


def test_a_restore_keeps_the_database_before(tmp_path: Path) -> None:
    data, copy = tmp_path / "data", tmp_path / "copy"
    lut_server("migrate", "--data-dir", data)
    lut_server("backup", copy, "--data-dir", data)
    lut_server("token", "create", "--role", "read", "--name", "only in the old one", "--data-dir", data)
    restored = lut_server("restore", copy, "--data-dir", data)
    assert restored.exit_code == 0, restored.stderr
    (kept,) = data.glob("lut-before-*.sqlite")
    assert str(kept) in restored.stdout
    with closing(sqlite3.connect(kept)) as database:
        assert database.execute("SELECT name FROM tokens").fetchone() == ("only in the old one",)
    assert kept.name in private_files(data)


def test_a_damaged_database_is_kept_as_it_is_and_replaced(tmp_path: Path) -> None:
    data, copy = tmp_path / "data", tmp_path / "copy"
    lut_server("migrate", "--data-dir", data)
    lut_server("backup", copy, "--data-dir", data)
    file = data / "lut.sqlite"
    torn = bytearray(file.read_bytes())
    torn[4096 * 3 : 4096 * 6] = b"\xff" * (4096 * 3)
    file.write_bytes(torn)
    assert lut_server("restore", copy, "--data-dir", data).exit_code == 0
    (kept,) = data.glob("lut-before-*.sqlite")
    assert kept.read_bytes() == bytes(torn)


@pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)
def test_a_database_of_a_newer_server_is_left_alone(database_url: str) -> None:
    database = Database(database_url)
    with database.write_connection() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0099'")
    database.close()
    message = refused("migrate", "--database-url", database_url)
    assert "a newer lut-server made it (schema 0099" in message
    assert "restore the backup" in message


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_devices_are_listed_hidden_and_removed(database_url: str, lut: Lut, table: LatencyTable) -> None:
    lut.client.register_device(report("cpu-2", "Gone"))
    where = ("--database-url", database_url)
    assert lut_server("device", "hide", "cpu-2", *where).exit_code == 0
    listed = lut_server("device", "list", *where).stdout
    assert re.search(r"cpu-2 .* hidden +Gone", listed)
    assert re.search(r"cpu-1 .* 1 +shown", listed)
    assert "results are never deleted" in refused("device", "remove", table.device.uuid, *where)
    assert lut_server("device", "remove", "cpu-2", *where).exit_code == 0
    assert "no such device" in refused("device", "show", "cpu-2", *where)


@pytest.mark.parametrize(
    "arguments",
    [
        ("backup", "copy"),
        ("export", "out"),
        ("device", "list"),
        ("device", "hide", "cpu-1"),
        ("device", "show", "cpu-1"),
        ("device", "remove", "cpu-1"),
        ("token", "list"),
        ("token", "revoke", "01900000-0000-7000-8000-000000000000"),
        ("token", "rotate", "01900000-0000-7000-8000-000000000000"),
    ],
    ids=" ".join,
)
def test_a_command_that_needs_a_database_makes_none(
    arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "data"
    message = refused(*arguments, "--data-dir", data)
    assert f"{data}/lut.sqlite: there is no database" in message
    assert not (data / "lut.sqlite").exists()
    assert not (tmp_path / "out").exists()


def test_a_command_that_makes_a_database_says_where(tmp_path: Path) -> None:
    arguments = ("token", "create", "--role", "read", "--data-dir", tmp_path)
    assert f"a new database: sqlite:///{tmp_path}/lut.sqlite" in lut_server(*arguments).stderr
    assert "new database" not in lut_server(*arguments).stderr
