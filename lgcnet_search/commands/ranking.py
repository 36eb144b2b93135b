"""lgcnet-search rank: whether a supernet ranks networks as their own trainings do."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markdown import Markdown

from lgcnet_search.ablations.arms import EQUAL_LATENCY
from lgcnet_search.ablations.network import Study, Trial
from lgcnet_search.ablations.outcome import Outcome
from lgcnet_search.ablations.ranking import LEAST, STAGES, markdown, rank, trained_networks, write_ranking
from lgcnet_search.ablations.runner import make_all
from lgcnet_search.ablations.scale import scale_of
from lgcnet_search.commands.ablating import ABLATING, ScaleOptions, TableOptions, following
from lgcnet_search.commands.groups import grouped
from lgcnet_search.commands.options import (
    AtOnce,
    Cluster,
    ComputingOptions,
    ScaleName,
    Seed,
    SpaceOptions,
    data_folder,
    engine_of,
    usage,
)
from lgcnet_search.computing.engines import Engine
from lgcnet_search.computing.how import Computing
from lgcnet_search.computing.progress import progress_bar
from lgcnet_search.data.sources import GENERATED, GENERATED_SIZE
from lgcnet_search.evolution import Method


@grouped
def run(
    table: TableOptions,
    changes: ScaleOptions,
    space: SpaceOptions,
    how: ComputingOptions = ABLATING,
    method: Annotated[Method, typer.Option(help="The search whose supernet is judged.")] = "gradient",
    networks: Annotated[
        Path | None,
        typer.Option(help="NAME.json of an ablation: its trained networks; left out: random ones are trained."),
    ] = None,
    count: Annotated[int, typer.Option(min=LEAST, help="Random networks to train.")] = LEAST,
    scale: ScaleName = "small",
    data: Annotated[str, typer.Option(help="A folder of the layout, or 'generated' for street scenes.")] = GENERATED,
    images: Annotated[int, typer.Option(min=1, help="Street scenes to generate for training.")] = 400,
    held_out: Annotated[int, typer.Option(min=1, help="Street scenes to generate for evaluation.")] = 100,
    seed: Seed = 0,
    at_once: AtOnce = 1,
    cluster: Cluster = None,
    out: Annotated[Path, typer.Option(help="Folder.")] = Path("runs/rank"),
) -> None:
    """Kendall's τ between accuracies with the supernet's weights and trained alone: start, middle, end of a search.

    Writes rank.md, rank.json and rank.png to OUT. What OUT holds already is not made again.
    """
    searched = space.space()
    size = changes.changed(scale_of(scale, space.layout))
    with how.launched(elsewhere=cluster is not None) as computing:
        processes = computing.processes
        with usage():
            for batch in (size.search_batch, size.train_batch):
                computing.share(batch)
        engine = engine_of(at_once, cluster, computing)
        latencies = processes.from_first(table.load(EQUAL_LATENCY, searched) if processes.first else None)
        assert latencies, "the first process has the table, or has raised"
        outcomes = processes.from_first(trained_networks(networks) if networks and processes.first else [])
        folder = data_folder(data, space.layout, images, held_out, processes, min(GENERATED_SIZE, size.input_size))
        study = Study(searched, latencies, size, folder, out)
        outcomes = outcomes or _train(study, count, computing, engine)
        arm = next(arm for arm in EQUAL_LATENCY.arms if arm.method == method and not arm.drawn)
        with (
            progress_bar("training the supernet", None, shown=processes.first) as training,
            progress_bar("judging networks", len(STAGES) * len(outcomes), shown=processes.first) as judging,
        ):
            ranking = rank(
                study,
                Trial(arm, seed),
                outcomes,
                computing,
                engine=engine,
                on_step=lambda done, steps: training(completed=done, total=steps),
                on_network=lambda: judging(advance=1),
            )
        if processes.first:
            paths = write_ranking(study, arm, ranking)
            Console().print(Markdown(markdown(arm, ranking)))
            typer.echo("\n".join(map(str, paths)))


def _train(study: Study, count: int, computing: Computing, engine: Engine) -> list[Outcome]:
    """Random networks, trained alone."""
    random = next(arm for arm in EQUAL_LATENCY.arms if arm.drawn)
    with following("rank", count, computing) as told:
        return make_all(study, [Trial(random, seed) for seed in range(count)], computing, engine=engine, **told)
