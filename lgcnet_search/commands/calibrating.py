"""lgcnet-search calibrate: what operations cost inside networks, from networks measured end to end."""

from typing import Annotated

import typer

from latency_tables.calibration import MIN_NETWORKS
from latency_tables.contract import ErrorCard
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


def calibrate(
    server: Server,
    networks: Annotated[int, typer.Option(help=f"How many to measure: {MIN_NETWORKS} to {jobs.CANDIDATES}.")] = 16,
    device: DeviceName = None,
    mode: ModeName = "pytorch",
    precision: PrecisionName = "fp32",
    threads: Threads = None,
    height: Height = 769,
    width: Width = 1537,
    channels: Channels = 8,
    classes: Classes = 19,
    token: Token = None,
) -> None:
    """Have networks measured end to end: the device's newest table learns from them what operations cost inside one.

    Prints the error card.
    """
    jobs.require_calibrating(networks)
    space = space_of(height, width, channels, classes)
    with connected(server, token) as client:
        found = jobs.table_of(client, *target_of(client, device, mode, precision, threads))
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
