"""lgcnet-search calibrate: what operations cost inside networks, from networks measured end to end."""

import math
from typing import Annotated

import typer

from latency_tables.calibration import MIN_NETWORKS
from latency_tables.contract import ErrorCard
from lgcnet_search import jobs
from lgcnet_search.commands.following import following_job
from lgcnet_search.commands.groups import grouped
from lgcnet_search.commands.options import DeviceOptions, SpaceOptions, usage
from lgcnet_search.space.space import Space


@grouped
def calibrate(
    asked: DeviceOptions,
    space: SpaceOptions,
    networks: Annotated[int, typer.Option(help=f"How many to measure: {MIN_NETWORKS} to {jobs.CANDIDATES}.")] = 16,
    budget: Annotated[float | None, typer.Option(help="Seconds for all networks; left out: 12 for each.")] = None,
    target_mape: Annotated[
        float | None,
        typer.Option(help="Measure one after the other, until the mean error is within this share, such as 0.015."),
    ] = None,
) -> None:
    """Have networks measured end to end: the device's newest table learns from them what operations cost inside one.

    Prints the error card. With --target-mape each network is the one that tells most of all others, and --networks and
    --budget end it, too; so do networks that no longer help.
    """
    jobs.require_calibrating(networks)
    searched = space.space()
    with usage():
        effort = jobs.calibrating_effort(networks, budget)
    if target_mape is not None:
        jobs.require_target(target_mape)
        _until(asked, searched, target_mape, networks, budget)
        return
    with asked.connected() as client:
        table = asked.newest_table(client)
        with following_job(f"measuring {networks} networks on {table.device.name}") as on_job:
            calibration = jobs.calibrate(client, searched, table, networks, on_job, effort)
    typer.echo(f"table {table.id}: {card_line(calibration.card)}")


def _until(asked: DeviceOptions, space: Space, target_mape: float, networks: int, budget_s: float | None) -> None:
    with asked.connected() as client:
        table = asked.newest_table(client)
        seconds = math.inf if budget_s is None else budget_s
        with following_job(f"measuring networks on {table.device.name}") as on_job:
            for progress in jobs.calibrate_until(client, space, table, target_mape, networks, seconds, on_job):
                card = progress.calibration.card
                typer.echo(
                    f"{card.networks:2d} networks: {card.error}; expected of others {progress.expected_error:.1%}"
                )
    typer.echo(f"table {table.id}: {card_line(card)}; {progress.end}")


def card_line(card: ErrorCard) -> str:
    """The error card in a line."""
    figures = card.calibrated
    order = "" if figures.tau is None else f", Kendall's τ {figures.tau:.2f}"
    return (
        f"calibrated by {card.networks} networks, each predicted from the others: {card.error}, "
        f"{figures.max_rel:.1%} at worst{order} (raw sum: {card.raw.mape:.1%}){_of_sizes(card)}"
    )


def _of_sizes(card: ErrorCard) -> str:
    """The errors of each input size, where there are several."""
    return "".join(
        f"; the {size.networks} of {'×'.join(map(str, size.input_shape[-2:]))} within {size.calibrated_mape:.1%} "
        f"(raw sum: {size.raw_mape:.1%})"
        for size in card.sizes
    )
