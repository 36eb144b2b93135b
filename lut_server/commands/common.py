"""Options and steps that the commands share."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Annotated, NoReturn

import typer
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from latency_tables.validation import first_error
from lut_server.credentials import KeyUnusable
from lut_server.errors import ServiceError
from lut_server.migrations import upgrade
from lut_server.settings import Settings, SettingsError, load_settings
from lut_server.storage.database import Database

DataDir = Annotated[str | None, typer.Option(help="Folder of the SQLite database. [env: LUT_DATA_DIR]")]
DatabaseUrl = Annotated[str | None, typer.Option(help="PostgreSQL or SQLite URL instead. [env: LUT_DATABASE_URL]")]
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def settings_from(**options: str | None) -> Settings:
    """The settings from options and environment; an option beats the environment."""
    given = {name: value for name, value in options.items() if value is not None}
    if "LUT_DATA_DIR" in given and "LUT_DATABASE_URL" in given:
        stop("--data-dir and --database-url: give one of them")
    environment = dict(os.environ)
    if "LUT_DATA_DIR" in given or "LUT_DATABASE_URL" in given:
        environment.pop("LUT_DATABASE_URL", None)
        environment.pop("LUT_DATABASE_URL_FILE", None)
    try:
        return load_settings({**environment, **given})
    except SettingsError as error:
        stop(str(error))


def migrated(settings: Settings) -> Database:
    """The database, brought up to date."""
    shown = settings.database_url.render_as_string(hide_password=True)
    try:
        database = Database(settings.database_url)
        upgrade(database)
    except ModuleNotFoundError as error:
        stop(f"{shown}: {error}; install the driver with: pip install 'lgcnet[postgres]'")
    except SQLAlchemyError as error:
        said = str(getattr(error, "orig", error)).strip().splitlines()[0]
        stop(f"the database {shown} cannot be used: {said}")
    return database


@contextmanager
def refusing() -> Iterator[None]:
    """What the service refuses ends the command with its message."""
    try:
        yield
    except (ServiceError, KeyUnusable) as error:
        stop(str(error))
    except SQLAlchemyError as error:
        stop(f"the database: {str(getattr(error, 'orig', error)).strip().splitlines()[0]}")
    except OSError as error:
        stop(str(error))


def duration(text: str, option: str) -> timedelta:
    """A duration like 90d, 24h, 30m or 10s."""
    match = re.fullmatch(r"(\d{1,6})([smhd])", text)
    if match is None:
        stop(f"{option} {text}: not a duration; give it like 90d, 24h, 30m or 10s")
    return timedelta(seconds=int(match[1]) * _UNITS_S[match[2]])


def refuse_options(error: ValidationError) -> NoReturn:
    stop(f"{first_error(error, 'options')} (given: {error.errors()[0]['input']!r})")


def stop(message: str) -> NoReturn:
    print(f"lut-server: {message}", file=sys.stderr)
    raise SystemExit(2)
