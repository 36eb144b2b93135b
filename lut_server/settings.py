"""The settings of the server, from the environment.

LUT_DATA_DIR or LUT_DATABASE_URL, LUT_DATABASE_PASSWORD, LUT_HOST, LUT_PORT, LUT_LOG_FORMAT, LUT_SECRET_KEY,
LUT_TRUSTED_PROXIES, LUT_ROOT_PATH. Each may be read from a file, which NAME_FILE names: secrets come that way.
"""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast, get_args

from platformdirs import user_data_path
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from lut_server.credentials import KEY_FILE, KeySource
from lut_server.logs import LogFormat

DATABASE_FILE = "lut.sqlite"


class SettingsError(Exception):
    """A setting that cannot work; the message names key, value and the way out."""


@dataclass(frozen=True)
class Settings:
    """Where the server listens and keeps its data; `port` 0 takes a free one.

    `root_path`: the path below which a proxy sends requests, like /lut, if it does not take the path off.
    `trusted_proxies`: addresses or networks, separated by commas, whose X-Forwarded-For is believed.
    """

    database_url: URL
    key: KeySource
    host: str = "127.0.0.1"
    port: int = 8000
    log_format: LogFormat = "text"
    trusted_proxies: str = "127.0.0.1,::1"
    root_path: str = ""

    @property
    def trusted_peers(self) -> str:
        """`trusted_proxies` as a socket reports them: one on `::` maps an IPv4 address into IPv6."""
        networks = map(ipaddress.ip_network, self.trusted_proxies.split(","))
        mapped = [f"::ffff:{net.network_address}/{96 + net.prefixlen}" for net in networks if net.version == 4]
        return ",".join([self.trusted_proxies, *mapped])

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the server."""
        return self.host == "localhost" or _is_loopback(self.host)


def load_settings(environment: Mapping[str, str]) -> Settings:
    """Read the settings and create the data folder where the default database goes.

    Raises:
        SettingsError: a value cannot work.
    """
    url = _value(environment, "LUT_DATABASE_URL")
    data_dir = _value(environment, "LUT_DATA_DIR")
    database_url = _database_url(url) if url else _default_database_url(data_dir)
    password = _value(environment, "LUT_DATABASE_PASSWORD")
    if password is not None and database_url.drivername != "sqlite":
        database_url = database_url.set(password=password)
    return Settings(
        database_url=database_url,
        key=_key(environment, database_url, data_dir),
        host=_value(environment, "LUT_HOST") or "127.0.0.1",
        port=_port(_value(environment, "LUT_PORT") or "8000"),
        log_format=_log_format(_value(environment, "LUT_LOG_FORMAT") or "text"),
        trusted_proxies=_trusted_proxies(_value(environment, "LUT_TRUSTED_PROXIES") or "127.0.0.1,::1"),
        root_path=_root_path(_value(environment, "LUT_ROOT_PATH") or ""),
    )


def _value(environment: Mapping[str, str], name: str) -> str | None:
    """A setting, from the environment or from the file that `name`_FILE names; None if it is not set or empty."""
    file = environment.get(f"{name}_FILE")
    if not file:
        return _clean(name, environment.get(name, "")) or None
    if environment.get(name):
        raise SettingsError(f"{name} and {name}_FILE: give one of them")
    try:
        value = Path(file).read_text("utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{name}_FILE={file!r}: cannot be read ({error})") from error
    if not value:
        raise SettingsError(f"{name}_FILE={file!r}: the file is empty")
    return _clean(f"{name}_FILE", value)


def _clean(name: str, value: str) -> str:
    """A value without the white space around it: a file with Windows line ends leaves a carriage return.

    Raises:
        SettingsError: it has a control character inside. The message does not show it: it may be a secret.
    """
    value = value.strip()
    wrong = next((number for number, char in enumerate(value, 1) if ord(char) < 32 or ord(char) == 127), None)
    if wrong is not None:
        raise SettingsError(f"{name}: has a control character as character {wrong} of {len(value)}; write it again")
    return value


def _key(environment: Mapping[str, str], database_url: URL, data_dir: str | None) -> KeySource:
    """The server key: its text, a file that was named, or the file in the data folder."""
    if environment.get("LUT_SECRET_KEY_FILE") and environment.get("LUT_SECRET_KEY"):
        raise SettingsError("LUT_SECRET_KEY and LUT_SECRET_KEY_FILE: give one of them")
    file = environment.get("LUT_SECRET_KEY_FILE")
    if file:
        return KeySource(Path(file), named=True)
    if database_url.drivername == "sqlite":
        folder = Path(database_url.database or "").parent
    else:
        folder = Path(data_dir) if data_dir else user_data_path("lut-server", appauthor=False)
    return KeySource(folder / KEY_FILE, text=_clean("LUT_SECRET_KEY", environment.get("LUT_SECRET_KEY", "")) or None)


def _database_url(value: str) -> URL:
    try:
        url = make_url(value)
    except (ArgumentError, ValueError):
        raise SettingsError(
            "LUT_DATABASE_URL: not a database URL; "
            "give it like sqlite:////path/lut.sqlite or postgresql://user@host:5432/name"
        ) from None  # the original error contains the value, and the value the password
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
        # The parent of a named folder must exist: a typing error must not start an empty database.
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


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _trusted_proxies(value: str) -> str:
    try:
        return ",".join(str(ipaddress.ip_network(part.strip())) for part in value.split(","))
    except ValueError as error:
        raise SettingsError(
            f"LUT_TRUSTED_PROXIES={value!r}: {error}; give addresses or networks like 10.0.0.7,172.16.0.0/12"
        ) from error


def _root_path(value: str) -> str:
    path = "/" + value.strip("/") if value.strip("/") else ""
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)*", path) or "/.." in path:
        raise SettingsError(f"LUT_ROOT_PATH={value!r}: not a path; give it like /lut")
    return path


def _port(value: str) -> int:
    if not value.isascii() or not value.isdigit() or int(value) > 65535:
        raise SettingsError(f"LUT_PORT={value!r}: not a port; give 0 (any free one) to 65535")
    return int(value)


def _log_format(value: str) -> LogFormat:
    if value not in get_args(LogFormat):
        raise SettingsError(f"LUT_LOG_FORMAT={value!r}: give text or json")
    return cast(LogFormat, value)
