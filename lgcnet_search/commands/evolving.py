"""lgcnet-search search --method evolution: one supernet for all devices, then an evolution for each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from lgcnet_search.commands.options import AtOnce, Cluster, engine_of, usage
from lgcnet_search.computing.engines import Engine
from lgcnet_search.computing.how import Computing
from lgcnet_search.computing.progress import progress_bar
from lgcnet_search.evolution.genetic import EvolutionSettings
from lgcnet_search.evolution.report import draw_evolution, write_evolution
from lgcnet_search.evolution.searching import OnePathSupernet, search_by_evolution
from lgcnet_search.search.findings import candidates_per_cell, latency_percentile
from lgcnet_search.search.random_search import RandomSearch
from lgcnet_search.search.search import SearchSettings
from lgcnet_search.search.targets import Target
from lgcnet_search.space.network import count_parameters


@dataclass(frozen=True)
class EvolutionOptions:
    """How networks evolve."""

    generations: Annotated[int, typer.Option(min=1, help="With --method evolution.")] = 15
    population: Annotated[int, typer.Option(min=2, help="Networks in a generation, with --method evolution.")] = 16
    at_once: AtOnce = 1
    cluster: Cluster = None

    def settings(self, search: SearchSettings) -> EvolutionSettings:
        """With the ceiling and seed of a search. Raises UsageError."""
        with usage():
            return EvolutionSettings(self.generations, self.population, search.ceiling_us, search.quantile, search.seed)

    def engine(self, computing: Computing) -> Engine:
        """Where networks are judged. Raises UsageError."""
        return engine_of(self.at_once, self.cluster, computing)


def evolve_targets(
    targets: Sequence[Target],
    supernet: OnePathSupernet,
    settings: EvolutionSettings,
    engine: Engine,
    save_every: int,
    computing: Computing,
) -> list[dict[str, Any]]:
    """Train the supernet, then evolve for each target, with bars; writes and draws each result. Returns summaries."""
    first = computing.processes.first
    with progress_bar("training the supernet", supernet.settings.steps, shown=first) as show:
        if engine.cluster:
            with engine.opened() as pool:
                list(pool.run(OnePathSupernet.train, [(supernet, computing, save_every)]))
        else:
            supernet.train(
                computing,
                save_every,
                lambda record: show(completed=record.step + 1, note=f"CE {record.cross_entropy:.3f}"),
            )
        show(completed=supernet.settings.steps)
    return [_evolve(target, supernet, settings, engine, computing) for target in targets]


def _evolve(
    target: Target, supernet: OnePathSupernet, settings: EvolutionSettings, engine: Engine, computing: Computing
) -> dict[str, Any]:
    first, latencies = computing.processes.first, target.latencies
    name = latencies.table.device.name
    networks = settings.generations * settings.population
    with progress_bar(f"evolving for {name}", networks, shown=first) as show:
        result = search_by_evolution(
            supernet, latencies, settings, target.folder, computing, engine, on_network=lambda: show(advance=1)
        )
        show(completed=networks)
    best = result.best
    parameters = count_parameters(best.genotype.space.graph.derive(best.genotype.choices))
    if first:
        path = write_evolution(result, supernet, settings, latencies, target.folder)
        draw_evolution(result, settings, latencies, target.folder)
        typer.echo(
            f"{path}: {best.predicted_us / 1000:.2f} ms predicted on {name}, {parameters / 1e6:.2f} M parameters, "
            f"{100 * best.miou:.1f} % mIoU with inherited weights, the best of {len(result.evolved)} networks"
        )
        faster = 1 - latency_percentile(RandomSearch(supernet.space, latencies), best.predicted_us)
        typer.echo(
            f"{candidates_per_cell(best.genotype):.1f} different candidates a cell; faster than {faster:.0%} of random "
            "networks by prediction"
        )
    return {
        "folder": str(target.folder),
        "device": name,
        "runtime": str(latencies.table.runtime),
        "predicted_us": best.predicted_us,
        "parameters": parameters,
        "inherited_miou": best.miou,
    }
