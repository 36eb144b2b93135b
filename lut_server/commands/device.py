"""lut-server device: list, hide, show and remove devices, also while servers run on the database."""

from typing import Annotated

import typer

from latency_tables.contract import DeviceVisibility
from latency_tables.plain_text import moment, plain
from lut_server.commands.common import DatabaseUrl, DataDir, all_pages, existing, refusing, settings_from
from lut_server.storage import devices

PAGE = 100

cli = typer.Typer(help="Devices: list, hide, show, remove.", no_args_is_help=True)
Uuid = Annotated[str, typer.Argument(help="`uuid` in `lut-server device list`.")]


@cli.command(name="list")
def list_(data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """List all devices, also hidden ones: when each was last heard of, how many tables it has."""
    settings = settings_from(LUT_DATA_DIR=data_dir, LUT_DATABASE_URL=database_url)
    with refusing():
        database = existing(settings)
        print(f"{'uuid':40}  {'last heard of':20}  {'tables':>6}  {'state':8}  name")
        with database.read() as session:
            for record in all_pages(lambda after: devices.page(session, after, PAGE, hidden=True)):
                seen, state = moment(record.heartbeat_at), "hidden" if record.hidden else "shown"
                name = plain(record.device.name)
                print(f"{record.device.uuid:40}  {seen}  {record.tables:6}  {state:8}  {name}")
        database.close()


@cli.command()
def hide(uuid: Uuid, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Leave a device out of lists and give it no jobs; its tables stay."""
    _set(uuid, True, data_dir, database_url)
    print(f"hidden: {uuid}; `lut-server device show {uuid}` shows it again")


@cli.command()
def show(uuid: Uuid, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Show a hidden device again."""
    _set(uuid, False, data_dir, database_url)
    print(f"shown: {uuid}")


@cli.command()
def remove(uuid: Uuid, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Forget a device that never measured anything. One that did can be hidden: results are never deleted."""
    settings = settings_from(LUT_DATA_DIR=data_dir, LUT_DATABASE_URL=database_url)
    with refusing():
        database = existing(settings)
        with database.write() as session:
            devices.remove(session, uuid)
        database.close()
    print(f"removed: {uuid}")


def _set(uuid: str, hidden: bool, data_dir: str | None, database_url: str | None) -> None:
    settings = settings_from(LUT_DATA_DIR=data_dir, LUT_DATABASE_URL=database_url)
    with refusing():
        database = existing(settings)
        with database.write() as session:
            devices.set_visibility(session, uuid, DeviceVisibility(hidden=hidden))
        database.close()
