"""lut-server token: who may do what. Works on the database, also while servers run on it."""

import sys
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
import uuid6
from pydantic import ValidationError

from latency_tables.contract import NewToken, Role, TokenRequest, TokenRotation
from lut_server.app import utc_now
from lut_server.commands.common import (
    DatabaseUrl,
    DataDir,
    duration,
    migrated,
    refuse_options,
    refusing,
    settings_from,
)
from lut_server.credentials import write_secret
from lut_server.settings import Settings
from lut_server.storage import tokens

PAGE = 1000

cli = typer.Typer(help="Access tokens: create, list, revoke, rotate.", no_args_is_help=True)
Expires = Annotated[str | None, typer.Option(help="End after so long, like 90d or 12h. Default: never.")]
Output = Annotated[Path | None, typer.Option(help="Write the token to this new file (mode 0600), not to the screen.")]
TokenId = Annotated[UUID, typer.Argument(help="`id` in `lut-server token list`.")]


@cli.command()
def create(
    role: Annotated[Role, typer.Option(help="read, search (and post jobs and networks), agent (and measure), admin.")],
    name: Annotated[str, typer.Option(help="Whose it is or what it is for.")] = "made on the command line",
    device: Annotated[str | None, typer.Option(help="An agent's only device, by uuid. Default: any.")] = None,
    expires: Expires = None,
    output: Output = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Make a token and show it, this once. A running server knows it within 5 seconds."""
    settings = settings_from(LUT_DATA_DIR=data_dir, LUT_DATABASE_URL=database_url)
    now = utc_now()
    try:
        request = TokenRequest(
            name=name, role=role, device=device, expires_at=now + duration(expires, "--expires") if expires else None
        )
    except ValidationError as error:
        refuse_options(error)
    with refusing():
        database = migrated(settings)
        with database.write() as session:
            made = tokens.create(session, uuid6.uuid7(), request, settings.key.load_or_make(), now)
            _hand_over(made, output)
        database.close()


@cli.command(name="list")
def list_(data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Show every token: whose, what it may, when it was last used. The tokens themselves nobody can show."""
    settings = settings_from(LUT_DATA_DIR=data_dir, LUT_DATABASE_URL=database_url)
    now = utc_now()
    print(f"{'id':36}  {'role':6}  {'device':20}  {'state':24}  {'last used':16}  name")
    with refusing():
        database = migrated(settings)
        with database.read() as session:
            after: UUID | None = None
            while True:
                page = tokens.page(session, after, PAGE)
                for item in page.items:
                    state = "valid" if item.expires_at is None else f"until {item.expires_at:%Y-%m-%d %H:%M}"
                    if item.revoked_at is not None:
                        state = f"revoked {item.revoked_at:%Y-%m-%d %H:%M}"
                    elif item.expires_at is not None and item.expires_at <= now:
                        state = f"expired {item.expires_at:%Y-%m-%d %H:%M}"
                    used = f"{item.last_used_at:%Y-%m-%d %H:%M}" if item.last_used_at else "never"
                    device = item.device or "any"
                    print(f"{item.id}  {item.role:6}  {device:20}  {state:24}  {used:16}  {item.name}")
                if page.next is None:
                    break
                after = UUID(page.next)
        database.close()


@cli.command()
def revoke(id: TokenId, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """End a token; running servers refuse it within 5 seconds."""
    settings = settings_from(LUT_DATA_DIR=data_dir, LUT_DATABASE_URL=database_url)
    with refusing():
        database = migrated(settings)
        with database.write() as session:
            revoked = tokens.revoke(session, id, utc_now())
        database.close()
    print(f"revoked: {revoked.id} ({revoked.role}, {revoked.name})")


@cli.command()
def rotate(
    id: TokenId,
    overlap: Annotated[str, typer.Option(help="How long the old one goes on, like 24h; 0s ends it now.")] = "24h",
    expires: Expires = None,
    output: Output = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Make a successor with the same rights and show it, this once; the old token goes on for a while."""
    settings: Settings = settings_from(LUT_DATA_DIR=data_dir, LUT_DATABASE_URL=database_url)
    now = utc_now()
    try:
        rotation = TokenRotation(
            id=uuid6.uuid7(),
            overlap_s=duration(overlap, "--overlap").total_seconds(),
            expires_at=now + duration(expires, "--expires") if expires else None,
        )
    except ValidationError as error:
        refuse_options(error)
    with refusing():
        database = migrated(settings)
        with database.write() as session:
            made = tokens.rotate(session, id, rotation, settings.key.load_or_make(), now)
            _hand_over(made, output)
        database.close()


def _hand_over(made: NewToken, output: Path | None) -> None:
    """Before the transaction ends: a token that cannot be handed over is not made."""
    if output is not None:
        write_secret(output, made.token + "\n")
    record = made.record
    until = f", until {record.expires_at:%Y-%m-%d %H:%M} UTC" if record.expires_at else ""
    where = f"in {output}" if output else "below, this once"
    bound = f" for {record.device}" if record.device else ""
    print(f"token {record.id}: {record.role}{bound}{until}; it is {where}", file=sys.stderr)
    if output is None:
        print(made.token)
