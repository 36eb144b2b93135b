"""What the server needs to know, from the environment: LUT_DATABASE_URL, LUT_DATA_DIR, LUT_HOST, LUT_PORT,
LUT_LOG_FORMAT."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast, get_args

from platformdirs import user_data_path
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from lut_server.logs import LogFormat

DATABASE_FILE = "lut.sqlite"


class SettingsError(Exception):
    """A setting that cannot work; the message names key, value and the way out."""


@dataclass(frozen=True)
class Settings:
    """Where the server listens and keeps its data; `port` 0 takes a free one."""

    database_url: URL
    host: str = "127.0.0.1"
    port: int = 8000
    log_format: LogFormat = "text"


def load_settings(environment: Mapping[str, str]) -> Settings:
    """Read the settings and create the data folder where the default database goes.

    Raises:
        SettingsError: a value cannot work.
    """
    url = environment.get("LUT_DATABASE_URL")
    return Settings(
        database_url=_database_url(url) if url else _default_database_url(environment.get("LUT_DATA_DIR")),
        host=_host(environment.get("LUT_HOST", "127.0.0.1")),
        port=_port(environment.get("LUT_PORT", "8000")),
        log_format=_log_format(environment.get("LUT_LOG_FORMAT", "text")),
    )


def _database_url(value: str) -> URL:
    try:
        url = make_url(value)
    except ArgumentError as error:
        raise SettingsError(
            f"LUT_DATABASE_URL={value!r}: not a database URL; "
            "give it like sqlite:////path/lut.sqlite or postgresql://user@host/name"
        ) from error
    if url.drivername in ("postgresql", "postgres"):
        url = url.set(drivername="postgresql+psycopg")
    if url.drivername not in ("sqlite", "postgresql+psycopg"):
        raise SettingsError(f"LUT_DATABASE_URL: {url.drivername!r} is not supported; use sqlite or postgresql")
    if url.drivername == "sqlite" and not url.database:
        raise SettingsError("LUT_DATABASE_URL: an SQLite database needs a file, like sqlite:////path/lut.sqlite")
    return url


def _default_database_url(value: str | None) -> URL:
    folder = Path(value) if value else user_data_path("lut-server", appauthor=False)
    try:
        # A folder that was named must have a parent already: a typing error must not start an empty database.
        folder.mkdir(parents=value is None, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise SettingsError(
            f"LUT_DATA_DIR={str(folder)!r}: cannot keep data there ({error.strerror}); "
            "name a writable folder with --data-dir or LUT_DATA_DIR"
        ) from error
    return URL.create("sqlite", database=str(folder / DATABASE_FILE))


def _host(value: str) -> str:
    try:
        loopback = value == "localhost" or ipaddress.ip_address(value).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise SettingsError(
            f"LUT_HOST={value!r}: not a loopback address; to be reached from other machines the server needs "
            "access tokens, and none are set up. Use 127.0.0.1"
        )
    return value


def _port(value: str) -> int:
    if not value.isascii() or not value.isdigit() or int(value) > 65535:
        raise SettingsError(f"LUT_PORT={value!r}: not a port; give 0 (any free one) to 65535")
    return int(value)


def _log_format(value: str) -> LogFormat:
    if value not in get_args(LogFormat):
        raise SettingsError(f"LUT_LOG_FORMAT={value!r}: give text or json")
    return cast(LogFormat, value)
