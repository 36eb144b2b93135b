"""lgcnet-search space, random: what can be searched, and networks drawn from it."""

import json
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from lgcnet_search.commands.groups import grouped
from lgcnet_search.commands.options import Seed, SpaceOptions, UsageError
from lgcnet_search.space.digest import space_digest
from lgcnet_search.space.genotype import random_genotype, typical_genotype
from lgcnet_search.space.network import count_parameters, network_spec


@grouped
def show(space: SpaceOptions) -> None:
    """List every operation that a network of the space may execute: the keys of its latency table."""
    searched = space.space()
    operations = searched.operations
    kinds = ", ".join(f"{count} {name}" for name, count in Counter(spec.name for spec in operations).items())
    Console(highlight=False, soft_wrap=True).print(
        *operations,
        f"{len(operations)} operations ({kinds})",
        f"{searched.cells} cells, {len(searched.cell_edges)} edges of {len(searched.cell_edges[0].names)} candidates; "
        f"fusion cell: {len(searched.fusion_edges)} of {len(searched.fusion_edges[0].names)} and "
        f"{len(searched.up_edges)} of {len(searched.up_edges[0].names)}",
        f"definition {space_digest()}",
        sep="\n",
        markup=False,
    )


@grouped
def draw(
    space: SpaceOptions,
    seed: Seed = 0,
    typical: Annotated[
        bool, typer.Option(metavar="", help="Light in front, like the network the paper found.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Write it here instead of to the screen.")] = None,
) -> None:
    """Draw a random genotype."""
    genotype = (typical_genotype if typical else random_genotype)(space.space(), seed)
    text = json.dumps(genotype.to_dict(), indent=1)
    if out is None:
        typer.echo(text)
        return
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with out.open("x", encoding="utf-8") as file:
            file.write(text + "\n")
    except FileExistsError as error:
        raise UsageError(f"out: {out} is there already, maybe what a search found; name another file") from error
    executed = sum(count.count for count in network_spec(genotype).operations)
    parameters = count_parameters(genotype.space.graph.derive(genotype.choices))
    typer.echo(f"{out}: {executed} operations, {parameters / 1e6:.2f} M parameters")
