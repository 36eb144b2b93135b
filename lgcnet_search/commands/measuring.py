"""lgcnet-search measure: networks' latencies, end to end."""

from pathlib import Path
from typing import Annotated

import typer

from latency_tables.contract import Effort, NetworkResult
from lgcnet_search import jobs
from lgcnet_search.commands.groups import grouped
from lgcnet_search.commands.options import DevicesOptions, following_job, usage
from lgcnet_search.space.genotype import Genotype


@grouped
def measure(
    genotypes: Annotated[list[Path], typer.Argument(help="genotype.json of a search; several are interleaved.")],
    asked: DevicesOptions,
    budget: Annotated[float | None, typer.Option(help="Seconds for all networks; left out: until converged.")] = None,
) -> None:
    """Have agents measure networks end to end; prints predicted beside measured latencies."""
    with usage():
        effort = Effort(budget_s=budget)
    networks = [Genotype.load(path) for path in genotypes]
    with asked.connected() as client:
        targets = asked.targets(client)
        queued = [jobs.submit_measurement(client, networks, device, runtime, effort) for device, runtime in targets]
        for (device, runtime), job in zip(targets, queued, strict=True):
            with following_job(f"measuring on {device.name}") as on_job:
                results = jobs.measured(client, job, networks, device, runtime, on_job)
            for path, result in zip(genotypes, results, strict=True):
                if len(genotypes) > 1:
                    typer.echo(path)
                show(result)


def show(result: NetworkResult) -> None:
    """A network's latency and, below it, the predictions. The median is of the state that the machine was in."""
    latency = result.measured
    typer.echo(
        f"measured  {result.measured_us / 1000:8.2f} ms on {result.device.name}, "
        f"{1e6 * result.runtime.batch_size / result.measured_us:.1f} FPS"
    )
    typer.echo(
        f"as it ran {latency.median_us / 1000:8.2f} ms, the median "
        f"(95 %: {latency.low_us / 1000:.2f} to {latency.high_us / 1000:.2f})"
    )
    if result.raw_us is None:
        typer.echo("predicted: no table of this device and runtime has all its operations; run lgcnet-search profile")
    else:
        error = result.raw_us / result.measured_us - 1
        typer.echo(f"raw sum   {result.raw_us / 1000:8.2f} ms by table {result.table_id} ({error:+.1%})")
    if result.predicted_us is not None and result.low_us is not None and result.high_us is not None:
        error = result.predicted_us / result.measured_us - 1
        typer.echo(
            f"predicted {result.predicted_us / 1000:8.2f} ms inside a network "
            f"(90 %: {result.low_us / 1000:.2f} to {result.high_us / 1000:.2f}) ({error:+.1%})"
        )
