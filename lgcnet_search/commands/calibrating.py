"""lgcnet-search calibrate: what operations cost inside networks, from networks measured end to end."""

from typing import Annotated
from uuid import UUID

import typer

from lgcnet_search import jobs
from lgcnet_search.commands.common import Channels, Classes, Height, Width, space_of
from lgcnet_search.commands.server import (
    DeviceName,
    ModeName,
    PrecisionName,
    Server,
    Threads,
    Token,
    connected,
    following_job,
    target_of,
)
from lut_server.schemas import ErrorCard


def calibrate(
    server: Server,
    networks: Annotated[int, typer.Option(help="How many to measure.", min=3, max=256)] = 16,
    device: DeviceName = None,
    mode: ModeName = "pytorch",
    precision: PrecisionName = "fp32",
    threads: Threads = None,
    table: Annotated[UUID | None, typer.Option(help="Table to calibrate; left out: the newest.")] = None,
    height: Height = 769,
    width: Width = 1537,
    channels: Channels = 8,
    classes: Classes = 19,
    token: Token = None,
) -> None:
    """Have networks measured end to end and learn from them what operations cost inside one; prints the error card."""
    space = space_of(height, width, channels, classes)
    with connected(server, token) as client:
        found = jobs.table_of(client, *target_of(client, device, mode, precision, threads), table)
        with following_job(f"measuring {networks} networks on {found.device.name}") as on_job:
            calibration = jobs.calibrate(client, space, found, networks, on_job)
    typer.echo(f"table {found.id}: {card_line(calibration.card)}")


def card_line(card: ErrorCard) -> str:
    """The error card in a line."""
    found = card.calibrated
    order = "" if found.tau is None else f", Kendall's τ {found.tau:.2f}"
    return (
        f"calibrated by {card.networks} networks, each predicted from the others within {found.mape:.1%} in the mean "
        f"and {found.max_rel:.1%} at worst{order} (raw sum: {card.raw.mape:.1%})"
    )
