"""lut-server serve: the application behind a listening socket, until a signal ends it."""

import gc
import logging
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import NoReturn

import uvicorn

from latency_tables.whole_files import write_whole
from lut_server import logs
from lut_server.access.auth import Access
from lut_server.app import create_app
from lut_server.clock import utc_now
from lut_server.commands.common import migrated, stop
from lut_server.credentials import KeyUnusable
from lut_server.settings import Settings
from lut_server.storage import tokens
from lut_server.storage.database import Database

SHUTDOWN_S = 1
BACKLOG = 2048
KEEP_ALIVE_S = 75  # longer than agents renew and readers poll: each keeps its connection
SWITCH_INTERVAL_S = 0.0005
YOUNG_OBJECTS = 50_000
COLLECT_EVERY_S = 600

log = logging.getLogger("lut_server.serve")


def serve(settings: Settings, ready_file: Path | None) -> None:
    """Bring the database up to date and serve it; the URL goes to `ready_file` once the server listens."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _exit)  # uvicorn shuts down first, then hands the signal on to this
    logs.configure(settings.log_format)
    listener = _listen(settings)
    database = migrated(settings, log.info)
    _require_tokens(settings, database)
    access = Access(database, settings.key.load, utc_now, open_to_local=settings.is_local)
    app = create_app(database, stopping=lambda: server.should_exit, access=access, root_path=settings.root_path)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=SHUTDOWN_S,
        timeout_keep_alive=KEEP_ALIVE_S,
        forwarded_allow_ips=settings.trusted_peers,
    )
    server = _Server(config, ready_file)
    _calm_python()
    # Takes most of a second, for which neither the start waits nor whoever asks for it first.
    threading.Thread(target=app.openapi, name="openapi", daemon=True).start()
    try:
        server.run([listener])
    finally:
        database.close()


def _calm_python() -> None:
    """Shorten the longest pauses of a request.

    The garbage collector skips all objects that exist by now. Whatever is remembered later it would walk through while
    a request waits, a tenth of a second for two large tables and again for the next ones: that it does every ten
    minutes; young objects, which nearly all garbage is, it looks at as ever. A thread that parses a batch gives way
    after half a millisecond instead of five, because the event loop and each row that a driver writes wait for their
    turn.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 10, 1_000_000)
    threading.Thread(target=_collect, name="collect", daemon=True).start()
    sys.setswitchinterval(SWITCH_INTERVAL_S)


def _collect() -> None:
    while True:
        time.sleep(COLLECT_EVERY_S)
        gc.collect()


class _Server(uvicorn.Server):
    """Writes its URL to standard output and to a file once it listens."""

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
            write_whole(self._ready_file, url.encode())


def _require_tokens(settings: Settings, database: Database) -> None:
    """Refuse to serve if no token works, or if other machines could reach the server without one."""
    with database.read() as session:
        if not settings.is_local and not tokens.any_exist(session):
            stop(
                f"LUT_HOST={settings.host!r}: to be reached from other machines the server needs access tokens, and "
                "none are set up. Make the first one with the same --data-dir or database: "
                "lut-server token create --role admin"
            )
        if tokens.any_exist(session):
            try:
                key = settings.key.load()
            except KeyUnusable as error:
                stop(str(error))
            if not tokens.any_valid(session, utc_now(), key.id):
                stop(
                    "every access token of this database has ended or was made with another server key: put that key "
                    "back (LUT_SECRET_KEY_FILE), or make a new token: lut-server token create --role admin"
                )


def _listen(settings: Settings) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        stop(f"LUT_HOST={settings.host!r}: no address of this machine ({error.strerror})")
    # With the protocol named, asyncio sets TCP_NODELAY: without it each answer waits 40 ms for a delayed ACK.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        stop(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror}; "
            "choose another port with --port (0 takes a free one)"
        )
    return listener


def _exit(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001
    raise SystemExit(0)
