"""lgcnet-search introduce: a device from a few networks and other devices, without a table of it."""

from typing import Annotated

import typer

from latency_tables.contract import Transfer
from lgcnet_search import jobs
from lgcnet_search.commands.following import following_job
from lgcnet_search.commands.groups import grouped
from lgcnet_search.commands.options import DeviceOptions, SpaceOptions

SHOWN = 0.05


@grouped
def introduce(
    asked: DeviceOptions,
    space: SpaceOptions,
    networks: Annotated[int, typer.Option(help=f"How many to measure: {jobs.LEAST_LEARNED} or more.")] = 10,
) -> None:
    """Learn a device from a few networks, measured one after the other, and from the other devices of the server.

    The server proposes each network as the one that tells most of all the others. Prints what was learned after each.
    """
    searched = space.space()
    with asked.connected() as client:
        device, runtime = asked.target(client)
        with following_job(f"measuring networks on {device.name}") as on_job:
            transfer = jobs.introduce(client, searched, device, runtime, networks, on_job, _learned)
    sources = "; ".join(source.name for source in transfer.sources)
    typer.echo(f"transfer {transfer.id}: {device.name}, {runtime}, with the help of {sources}")


def _learned(measured: int, transfer: Transfer | None) -> None:
    number = f"{measured:2d} network{'s' * (measured != 1)}: "
    typer.echo(number + (learned_line(transfer) if transfer else "too few to say anything"))


def learned_line(transfer: Transfer) -> str:
    """What a device is like, and how far predictions of its networks are off, in a line."""
    alike = "; ".join(str(likeness) for likeness in transfer.likeness if likeness.share >= SHOWN)
    if transfer.card is None:
        return f"{alike}; too few to say how far predictions are off"
    figures = transfer.card.predicted
    return f"{alike}; each predicted from the others within {figures.mape:.1%} ({figures.max_rel:.1%} at worst)"
