"""lgcnet-search calibrate: what operations cost inside networks, from networks measured end to end."""

from typing import Annotated

import typer

from latency_tables.calibration import MIN_NETWORKS
from latency_tables.contract import ErrorCard
from lgcnet_search import jobs
from lgcnet_search.commands.following import following_job
from lgcnet_search.commands.groups import grouped
from lgcnet_search.commands.options import DeviceOptions, SpaceOptions, usage


@grouped
def calibrate(
    asked: DeviceOptions,
    space: SpaceOptions,
    networks: Annotated[int, typer.Option(help=f"How many to measure: {MIN_NETWORKS} to {jobs.CANDIDATES}.")] = 16,
    budget: Annotated[float | None, typer.Option(help="Seconds for all networks; left out: 12 for each.")] = None,
) -> None:
    """Have networks measured end to end: the device's newest table learns from them what operations cost inside one.

    Prints the error card.
    """
    jobs.require_calibrating(networks)
    searched = space.space()
    with usage():
        effort = jobs.calibrating_effort(networks, budget)
    with asked.connected() as client:
        table = asked.newest_table(client)
        with following_job(f"measuring {networks} networks on {table.device.name}") as on_job:
            calibration = jobs.calibrate(client, searched, table, networks, on_job, effort)
    typer.echo(f"table {table.id}: {card_line(calibration.card)}")


def card_line(card: ErrorCard) -> str:
    """The error card in a line."""
    figures = card.calibrated
    order = "" if figures.tau is None else f", Kendall's τ {figures.tau:.2f}"
    return (
        f"calibrated by {card.networks} networks, each predicted from the others within {figures.mape:.1%} in the mean "
        f"and {figures.max_rel:.1%} at worst{order} (raw sum: {card.raw.mape:.1%}){_of_sizes(card)}"
    )


def _of_sizes(card: ErrorCard) -> str:
    """The errors of each input size, where there are several."""
    return "".join(
        f"; the {size.networks} of {'×'.join(map(str, size.input_shape[-2:]))} within {size.calibrated_mape:.1%} "
        f"(raw sum: {size.raw_mape:.1%})"
        for size in card.sizes
    )
