"""lut-server: serve the lookup tables, or migrate their database."""

import os
import signal
import socket
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer
import uvicorn
from sqlalchemy.exc import SQLAlchemyError

from lut_server import logs
from lut_server.app import create_app
from lut_server.database import Database
from lut_server.migrations import upgrade
from lut_server.settings import Settings, SettingsError, load_settings

SHUTDOWN_S = 1
BACKLOG = 2048

cli = typer.Typer(
    help="The lookup-table server: latencies of operations on devices.", no_args_is_help=True, add_completion=False
)
DataDir = Annotated[str | None, typer.Option(help="Folder of the SQLite database. [env: LUT_DATA_DIR]")]
DatabaseUrl = Annotated[str | None, typer.Option(help="PostgreSQL or SQLite URL instead. [env: LUT_DATABASE_URL]")]


@cli.command()
def serve(
    host: Annotated[str | None, typer.Option(help="A loopback address. [env: LUT_HOST]")] = None,
    port: Annotated[str | None, typer.Option(help="0 takes a free one. [env: LUT_PORT]")] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    log_format: Annotated[str | None, typer.Option(help="text or json. [env: LUT_LOG_FORMAT]")] = None,
    ready_file: Annotated[Path | None, typer.Option(help="Write the URL here once the server listens.")] = None,
) -> None:
    """Bring the database up to date and serve it."""
    settings = _settings(
        LUT_HOST=host,
        LUT_PORT=port,
        LUT_DATA_DIR=data_dir,
        LUT_DATABASE_URL=database_url,
        LUT_LOG_FORMAT=log_format,
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _exit)  # uvicorn shuts down first, then hands the signal on to this
    logs.configure(settings.log_format)
    listener = _listen(settings)
    database = _migrated(settings)
    app = create_app(database, stopping=lambda: server.should_exit)
    config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=SHUTDOWN_S)
    server = _Server(config, ready_file)
    try:
        server.run([listener])
    finally:
        database.close()


@cli.command()
def migrate(data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Bring the database up to date; `serve` does this by itself."""
    settings = _settings(LUT_DATA_DIR=data_dir, LUT_DATABASE_URL=database_url)
    _migrated(settings).close()
    print(f"up to date: {settings.database_url.render_as_string(hide_password=True)}")


class _Server(uvicorn.Server):
    """Says its URL, on standard output and in a file, once it listens."""

    def __init__(self, config: uvicorn.Config, ready_file: Path | None) -> None:
        super().__init__(config)
        self._ready_file = ready_file

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        assert sockets
        host, port = sockets[0].getsockname()[:2]
        url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        print(f"lut-server listens on {url} (docs: {url}/docs)", flush=True)
        if self._ready_file:
            part = self._ready_file.with_name(f"{self._ready_file.name}.part")
            part.write_text(url)
            part.replace(self._ready_file)


def _settings(**options: str | None) -> Settings:
    given = {name: value for name, value in options.items() if value is not None}
    if "LUT_DATA_DIR" in given and "LUT_DATABASE_URL" in given:
        _stop("--data-dir and --database-url: give one of them")
    # An option beats the environment, also where the other of the two stands there.
    environment = dict(os.environ)
    if "LUT_DATA_DIR" in given:
        environment.pop("LUT_DATABASE_URL", None)
    try:
        return load_settings({**environment, **given})
    except SettingsError as error:
        _stop(str(error))


def _listen(settings: Settings) -> socket.socket:
    family, _, _, _, address = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
    # With the protocol named, asyncio sets TCP_NODELAY: without it each answer waits 40 ms for a delayed ACK.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        _stop(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror}; "
            "choose another port with --port (0 takes a free one)"
        )
    return listener


def _migrated(settings: Settings) -> Database:
    shown = settings.database_url.render_as_string(hide_password=True)
    try:
        database = Database(settings.database_url)
        upgrade(database)
    except ModuleNotFoundError as error:
        _stop(f"{shown}: {error}; install the driver with: pip install 'lgcnet[postgres]'")
    except SQLAlchemyError as error:
        said = str(getattr(error, "orig", error)).strip().splitlines()[0]
        _stop(f"the database {shown} cannot be used: {said}")
    return database


def _exit(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001
    raise SystemExit(0)


def _stop(message: str) -> NoReturn:
    print(f"lut-server: {message}", file=sys.stderr)
    raise SystemExit(2)


def main() -> None:
    cli()


if __name__ == "__main__":
    main()
