"""lut-server token: create, list, revoke and rotate access tokens, also while servers run on the database."""

import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
import uuid6
from pydantic import ValidationError

from latency_tables.contract import NewToken, Role, TokenRecord, TokenRequest, TokenRotation
from latency_tables.plain_text import moment
from lut_server.clock import utc_now
from lut_server.commands.common import (
    DatabaseUrl,
    DataDir,
    all_pages,
    duration,
    existing,
    migrated,
    refuse_options,
    refusing,
    say,
    settings_from,
)
from lut_server.credentials import write_secret
from lut_server.settings import Settings
from lut_server.storage import tokens

PAGE = 1000

cli = typer.Typer(help="Access tokens: create, list, revoke, rotate.", no_args_is_help=True)
Expires = Annotated[str | None, typer.Option(help="Lifetime, like 90d or 12h. Default: no end.")]
Output = Annotated[
    Path | None, typer.Option(help="Write the token to this new file (mode 0600) instead of the screen.")
]
TokenId = Annotated[UUID, typer.Argument(help="`id` in `lut-server token list`.")]


@cli.command()
def create(
    role: Annotated[Role, typer.Option(help="Each role may also do what the roles before it may.")],
    name: Annotated[str, typer.Option(help="Its owner or purpose.")] = "made on the command line",
    device: Annotated[str | None, typer.Option(help="An agent's only device, by uuid. Default: any.")] = None,
    expires: Expires = None,
    output: Output = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Make a token and show it once. A running server knows it within 5 seconds."""
    settings = settings_from(LUT_DATA_DIR=data_dir, LUT_DATABASE_URL=database_url)
    now = utc_now()
    try:
        request = TokenRequest(
            name=name, role=role, device=device, expires_at=now + duration(expires, "--expires") if expires else None
        )
    except ValidationError as error:
        refuse_options(error)
    with refusing():
        database = migrated(settings, say)
        with database.write() as session:
            made = tokens.create(session, uuid6.uuid7(), request, settings.key.load_or_make(), now)
            _hand_over(made, output)
        database.close()


@cli.command(name="list")
def list_(data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """List all tokens: owner, role, last use. The tokens are stored as hashes only and cannot be shown."""
    settings = settings_from(LUT_DATA_DIR=data_dir, LUT_DATABASE_URL=database_url)
    now = utc_now()
    with refusing():
        database = existing(settings)
        print(f"{'id':36}  {'role':6}  {'device':20}  {'state':28}  {'last used':20}  name")
        with database.read() as session:
            for token in all_pages(lambda after: tokens.page(session, after, PAGE)):
                used = moment(token.last_used_at) if token.last_used_at else "never"
                device = token.device or "any"
                print(f"{token.id}  {token.role:6}  {device:20}  {_state(token, now):28}  {used:20}  {token.name}")
        database.close()


@cli.command()
def revoke(id: TokenId, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """End a token; running servers refuse it within 5 seconds."""
    settings = settings_from(LUT_DATA_DIR=data_dir, LUT_DATABASE_URL=database_url)
    with refusing():
        database = existing(settings)
        with database.write() as session:
            revoked = tokens.revoke(session, id, utc_now())
        database.close()
    print(f"revoked: {revoked.id} ({revoked.role}, {revoked.name})")


@cli.command()
def rotate(
    id: TokenId,
    overlap: Annotated[str, typer.Option(help="How long the old token stays valid, like 24h; 0s ends it now.")] = "24h",
    expires: Expires = None,
    output: Output = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Make a successor with the same rights and show it once. The old token stays valid for the overlap."""
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
        database = existing(settings)
        with database.write() as session:
            made = tokens.rotate(session, id, rotation, settings.key.load_or_make(), now)
            _hand_over(made, output)
        database.close()


def _state(token: TokenRecord, now: datetime) -> str:
    if token.revoked_at is not None:
        return f"revoked {moment(token.revoked_at)}"
    if token.expires_at is None:
        return "valid"
    return f"{'expired' if token.expires_at <= now else 'until'} {moment(token.expires_at)}"


def _hand_over(made: NewToken, output: Path | None) -> None:
    """Show or write a token before the transaction ends: if that fails, no token is made."""
    if output is not None:
        write_secret(output, made.token + "\n")
    record = made.record
    until = f", until {moment(record.expires_at)}" if record.expires_at else ""
    where = f"in {output}" if output else "below, shown once"
    bound = f" for {record.device}" if record.device else ""
    print(f"token {record.id}: {record.role}{bound}{until}; it is {where}", file=sys.stderr)
    if output is None:
        print(made.token)
