"""lut-server backup, restore, export, import, publish: copies of the database, tables and latencies in files."""

from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
from sqlalchemy.orm import Session

from latency_tables.contract import TableSummary
from latency_tables.transfer.published import BadPublication, publications, read_lines, read_space
from lut_server.clock import utc_now
from lut_server.commands.common import (
    DatabaseUrl,
    DataDir,
    all_pages,
    existing,
    migrated,
    refusing,
    require_database,
    say,
    settings_from,
    stop,
)
from lut_server.exchange.backup import BackupFailed, back_up
from lut_server.exchange.backup import restore as restore_copy
from lut_server.exchange.files import find_tables, read_calibration, read_table, write_calibration, write_table
from lut_server.exchange.formats import Format
from lut_server.settings import Settings
from lut_server.storage import calibrations, imports, tables
from lut_server.storage import publications as stored_publications
from lut_server.storage.tables import TableFilter

PAGE = 100


def backup(
    path: Annotated[Path, typer.Argument(help="The new file.")],
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Copy the SQLite database to a new file while servers use it, and verify the copy."""
    settings = settings_from(LUT_DATA_DIR=data_dir, LUT_DATABASE_URL=database_url)
    database = _sqlite_file(settings, f"pg_dump --format=custom --file={path}")
    require_database(settings)
    try:
        back_up(database, path)
    except BackupFailed as error:
        stop(str(error))
    size = path.stat().st_size
    print(f"{path}: {size} bytes, verified. The server key is not in it; keep it apart: {settings.key.file}")


def restore(
    path: Annotated[Path, typer.Argument(help="A file that backup wrote.")],
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Restore a backup over the SQLite database. Servers may keep running. Creates the database if missing."""
    settings = settings_from(LUT_DATA_DIR=data_dir, LUT_DATABASE_URL=database_url)
    database = _sqlite_file(settings, "pg_restore --clean")
    kept = database.with_name(f"{database.stem}-before-{utc_now():%Y%m%dT%H%M%S}{database.suffix}")
    try:
        has_old = restore_copy(path, database, kept)
    except BackupFailed as error:
        stop(str(error))
    migrated(settings).close()
    if has_old:
        print(f"the database before is kept as {kept}")
    print(f"restored from {path}; restart the servers: they may still remember tables that are gone")


def export(
    folder: Annotated[Path, typer.Argument(help="Where to write the files; created if missing.")],
    format: Annotated[Format, typer.Option(help="json, csv (with a header file each) or parquet.")] = "json",
    table: Annotated[list[UUID] | None, typer.Option(help="Id of a table; may be repeated. Default: all.")] = None,
    device: Annotated[str | None, typer.Option(help="Only tables of this device, by uuid or name.")] = None,
    space: Annotated[str | None, typer.Option(help="Only tables of this search space.")] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Write tables to files, each with its newest calibration, for another server or for a notebook."""
    settings = settings_from(LUT_DATA_DIR=data_dir, LUT_DATABASE_URL=database_url)
    with refusing():
        database = existing(settings)
        folder.mkdir(parents=True, exist_ok=True)
        with database.read() as session:
            filter = TableFilter(device=device, space=space)
            count = 0
            for summary in all_pages(lambda after: tables.page(session, filter, after, PAGE)):
                if not table or summary.id in table:
                    _export_table(session, folder, summary, format)
                    count += 1
        database.close()
    if not count and not table:
        of = "".join(f" of {noun} {value}" for noun, value in (("device", device), ("space", space)) if value)
        stop(f"no tables{of}: nothing is written")
    if table and count < len(set(table)):
        stop(f"--table: {len(set(table)) - count} of these tables do not exist; {count} written")


def _export_table(session: Session, folder: Path, summary: TableSummary, format: Format) -> None:
    path = write_table(folder, tables.get(session, summary.id), format)
    print(f"{path}  {summary.rows} rows  {summary.content_digest}")
    newest = calibrations.newest(session, summary.id)
    if newest:
        calibration = calibrations.get(session, newest)
        networks = calibrations.networks_of(session, calibration)
        path = write_calibration(folder, calibration, networks)
        print(f"{path}  {len(networks)} networks  {calibration.digest}")


def import_(
    paths: Annotated[list[Path], typer.Argument(help="Files that export wrote, or their folder.")],
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Store exported tables with their calibrations, all or none. Each must have the digest that its file names."""
    settings = settings_from(LUT_DATA_DIR=data_dir, LUT_DATABASE_URL=database_url)
    with refusing():
        database = migrated(settings)
        with database.write() as session:
            stored = [
                imports.put(session, read_table(path), utc_now(), read_calibration(path)) for path in find_tables(paths)
            ]
        database.close()
    for summary in stored:
        print(f"{summary.id}  {summary.device_name}  {summary.rows} rows  {summary.content_digest}")


def publish(
    path: Annotated[Path, typer.Argument(help="CSV: device,network,latency_us,batch,source,date")],
    space: Annotated[Path, typer.Option(help="JSON file of the space that names the networks.")],
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Store published latencies of whole networks, all or none: transfers to new devices learn from them.

    Each device and batch size of the file is one publication. The same content again changes nothing.
    """
    settings = settings_from(LUT_DATA_DIR=data_dir, LUT_DATABASE_URL=database_url)
    with refusing():
        try:
            known = read_space(space)
            specs = known.specs()
            networks = list(specs.values())
            made = publications(read_lines(path), specs, known.works, utc_now())
        except BadPublication as error:
            stop(str(error))
        database = migrated(settings, say)
        with database.write() as session:
            stored = [stored_publications.put(session, publication, networks, utc_now()) for publication in made]
        database.close()
    for summary in stored:
        print(f"{summary.id}  {summary.device}, batch {summary.batch_size}  {summary.networks} networks")


def _sqlite_file(settings: Settings, instead: str) -> Path:
    url = settings.database_url
    if url.drivername != "sqlite":
        stop(f"this is for SQLite; PostgreSQL has its own: {instead} --dbname={url.database}")
    return Path(url.database or "")
