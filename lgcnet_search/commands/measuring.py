"""lgcnet-search measure: networks' latencies, end to end."""

from pathlib import Path
from typing import Annotated

import typer

from latency_tables.contract import Effort, NetworkName, NetworkResult
from lgcnet_search import jobs
from lgcnet_search.commands.following import following_job
from lgcnet_search.commands.groups import grouped
from lgcnet_search.commands.options import DevicesOptions, UsageError, usage
from lgcnet_search.space.genotype import Genotype
from lgcnet_search.space.network import network_spec


@grouped
def measure(
    genotypes: Annotated[list[Path], typer.Argument(help="genotype.json of a search; several are interleaved.")],
    asked: DevicesOptions,
    budget: Annotated[float | None, typer.Option(help="Seconds for all networks; left out: until converged.")] = None,
    name: Annotated[
        list[str] | None,
        typer.Option(help="What the server's pages call the networks; as often as there are genotypes."),
    ] = None,
    again: Annotated[bool, typer.Option("--again", metavar="", help="Measure doubtful networks again.")] = False,
) -> None:
    """Have agents measure networks end to end; prints predicted beside measured latencies."""
    with usage():
        effort = Effort(budget_s=budget)
        names = [NetworkName(name=text).name for text in name or ()]
    if names and len(names) != len(genotypes):
        raise UsageError(f"name: {len(names)} given for {len(genotypes)} genotypes; give each its own, or none")
    networks = [Genotype.load(path) for path in genotypes]
    with asked.connected() as client:
        targets = asked.targets(client)
        queued = [
            jobs.submit_measurement(client, networks, device, runtime, effort, again) for device, runtime in targets
        ]
        for network, called in zip(networks, names, strict=False):
            client.name_network(network_spec(network).digest, called)
        for (device, runtime), job in zip(targets, queued, strict=True):
            with following_job(f"measuring on {device.name}") as on_job:
                results = jobs.measured(client, job, networks, device, runtime, on_job)
            for path, result in zip(genotypes, results, strict=True):
                if len(genotypes) > 1:
                    typer.echo(path)
                show(result)


def show(result: NetworkResult) -> None:
    """What the clock said of a network first; below it the machine's quiet speed, which is what predictions are of."""
    ran, quiet_us = result.measured, result.measured_us
    typer.echo(
        f"measured  {ran.median_us / 1000:8.2f} ms on {result.device.name}, "
        f"{1e6 * result.runtime.batch_size / ran.median_us:.1f} FPS "
        f"(the median as it ran, 95 %: {ran.low_us / 1000:.2f} to {ran.high_us / 1000:.2f})"
    )
    if quiet_us != ran.median_us:
        low_us, high_us = result.measured_low_us, result.measured_high_us
        interval = "" if low_us is None or high_us is None else f" (95 %: {low_us / 1000:.2f} to {high_us / 1000:.2f})"
        typer.echo(
            f"quiet     {quiet_us / 1000:8.2f} ms at this machine's quiet speed{interval}: "
            f"{beside_quiet(ran.median_us, quiet_us)}"
        )
    if not result.quality.sound:
        typer.echo(
            f"doubtful: {', '.join(result.quality.doubts)}; --again measures it again, best on a quieter machine"
        )
    if result.raw_us is None:
        typer.echo("predicted: no table of this device and runtime has all its operations; run lgcnet-search profile")
    else:
        typer.echo(
            f"raw sum   {result.raw_us / 1000:8.2f} ms by table {result.table_id} ({_error(result.raw_us, quiet_us)})"
        )
    if result.predicted_us is not None and result.low_us is not None and result.high_us is not None:
        typer.echo(
            f"predicted {result.predicted_us / 1000:8.2f} ms inside a network "
            f"(90 %: {result.low_us / 1000:.2f} to {result.high_us / 1000:.2f}) "
            f"({_error(result.predicted_us, quiet_us)})"
        )


def beside_quiet(ran_us: float, quiet_us: float) -> str:
    """How a network ran beside the machine's quiet speed, the fastest that one of its jobs had for long."""
    slow = ran_us / quiet_us - 1
    return f"it ran {abs(slow):.1%} {'slower' if slow > 0 else 'faster'}"


def _error(predicted_us: float, quiet_us: float) -> str:
    """Tables are of the quiet speed too, so a prediction is compared with that."""
    return f"{predicted_us / quiet_us - 1:+.1%} of the quiet speed"
