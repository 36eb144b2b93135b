"""Options and steps that the commands share."""

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Annotated, NoReturn, TypeVar

import typer
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from latency_tables.contract import Contract, Page
from latency_tables.plain_text import file_error, plain
from latency_tables.validation import MOST, first_error
from lut_server.credentials import KeyUnusable
from lut_server.errors import ServiceError
from lut_server.migrations import UnknownRevision, upgrade
from lut_server.settings import Settings, SettingsError, load_settings
from lut_server.storage.database import Database

DataDir = Annotated[str | None, typer.Option(help="Folder of the SQLite database. [env: LUT_DATA_DIR]")]
DatabaseUrl = Annotated[str | None, typer.Option(help="PostgreSQL or SQLite URL instead. [env: LUT_DATABASE_URL]")]
Item = TypeVar("Item", bound=Contract)
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def settings_from(**options: str | None) -> Settings:
    """The settings from options and environment; an option beats the environment."""
    set_options = {name: value for name, value in options.items() if value is not None}
    if {"LUT_DATA_DIR", "LUT_DATABASE_URL"} <= set_options.keys():
        stop("--data-dir and --database-url: give one of them")
    environment = dict(os.environ)
    if {"LUT_DATA_DIR", "LUT_DATABASE_URL"} & set_options.keys():
        environment.pop("LUT_DATABASE_URL", None)
        environment.pop("LUT_DATABASE_URL_FILE", None)
    try:
        return load_settings({**environment, **set_options})
    except SettingsError as error:
        stop(str(error))


def say(message: str) -> None:
    """To the person at the screen, beside what the command prints."""
    print(f"lut-server: {message}", file=sys.stderr)


def migrated(settings: Settings, announce: Callable[[str], None] | None = None) -> Database:
    """The database, brought up to date. Where there is none it is made, which `announce` is told."""
    shown = _shown(settings)
    if announce is not None and _is_missing(settings):
        announce(f"a new database: {plain(shown)}")
    try:
        database = Database(settings.database_url)
        upgrade(database)
    except ModuleNotFoundError as error:
        stop(f"{shown}: {error}; install the driver with: pip install 'lgcnet[postgres]'")
    except UnknownRevision as error:
        stop(f"the database {shown}: {error}")
    except SQLAlchemyError as error:
        stop(f"the database {shown} cannot be used: {_first_line(error)}")
    return database


def existing(settings: Settings) -> Database:
    """The database, brought up to date, for commands to which an empty one is of no use: none is made."""
    require_database(settings)
    return migrated(settings)


def require_database(settings: Settings) -> None:
    """End the command where there is no database."""
    if _is_missing(settings):
        stop(f"{_shown(settings)}: there is no database; name its folder with --data-dir")


def _is_missing(settings: Settings) -> bool:
    url = settings.database_url
    return url.drivername == "sqlite" and not Path(url.database or "").exists()


def _shown(settings: Settings) -> str:
    return settings.database_url.render_as_string(hide_password=True)


@contextmanager
def refusing() -> Iterator[None]:
    """End the command with exit code 2 and the message of what was refused."""
    try:
        yield
    except (ServiceError, KeyUnusable) as error:
        stop(str(error))
    except SQLAlchemyError as error:
        stop(f"the database: {_first_line(error)}")
    except OSError as error:
        stop(file_error(error))


def all_pages(read_page: Callable[[str | None], Page[Item]]) -> Iterator[Item]:
    """The items of all pages; `read_page` takes the cursor of the page before."""
    page = read_page(None)
    yield from page.items
    while page.next is not None:
        page = read_page(page.next)
        yield from page.items


def duration(text: str, option: str) -> timedelta:
    """A duration like 90d, 24h, 30m or 10s."""
    match = re.fullmatch(r"(\d{1,6})([smhd])", text)
    if match is None:
        stop(f"{option} {text}: not a duration; give it like 90d, 24h, 30m or 10s")
    return timedelta(seconds=int(match[1]) * _UNITS_S[match[2]])


def refuse_options(error: ValidationError) -> NoReturn:
    reason, given = first_error(error, "options"), repr(error.errors()[0]["input"])
    stop(reason if given[:MOST] in reason else f"{reason} (given: {given})")


def _first_line(error: SQLAlchemyError) -> str:
    return str(getattr(error, "orig", error)).strip().splitlines()[0]


def stop(message: str) -> NoReturn:
    say(plain(message))
    raise SystemExit(2)
