"""lgcnet-search space, random: what can be searched, and networks drawn from it."""

import json
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from lgcnet_search.commands.common import Channels, Classes, Height, Seed, Width, space_of
from lgcnet_search.space.digest import space_digest
from lgcnet_search.space.genotype import random_genotype, typical_genotype
from lgcnet_search.space.network import count_parameters, network_spec


def show(height: Height = 769, width: Width = 1537, channels: Channels = 8, classes: Classes = 19) -> None:
    """List every operation that a network of the space may execute: the keys of its latency table."""
    space = space_of(height, width, channels, classes)
    table = Table("operation", "inputs", "parameters", box=None)
    for operation in space.operations:
        shapes = " + ".join("×".join(map(str, shape)) for shape in operation.input_shapes)
        table.add_row(operation.name, shapes, ", ".join(f"{name}={value}" for name, value in operation.params))
    console = Console(highlight=False)
    console.print(table)
    kinds = ", ".join(f"{count} {name}" for name, count in Counter(item.name for item in space.operations).items())
    console.print(
        f"{len(space.operations)} operations ({kinds})\n"
        f"{space.cells} cells, {len(space.cell_edges)} edges of {len(space.cell_edges[0].names)} candidates; "
        f"fusion cell: {len(space.fusion_edges)} of {len(space.fusion_edges[0].names)} and "
        f"{len(space.up_edges)} of {len(space.up_edges[0].names)}\n"
        f"definition {space_digest()}"
    )


def draw(
    seed: Seed = 0,
    typical: Annotated[bool, typer.Option(help="Light in front, like the network the paper found.")] = False,
    height: Height = 769,
    width: Width = 1537,
    channels: Channels = 8,
    classes: Classes = 19,
    out: Annotated[Path | None, typer.Option(help="Write it here instead of to the screen.")] = None,
) -> None:
    """Draw a random genotype."""
    space = space_of(height, width, channels, classes)
    genotype = (typical_genotype if typical else random_genotype)(space, seed)
    text = json.dumps(genotype.to_dict(), indent=1)
    if out is None:
        typer.echo(text)
        return
    out.write_text(text + "\n", "utf-8")
    executed = sum(item.count for item in network_spec(genotype).operations)
    parameters = count_parameters(space.graph.derive(genotype.choices))
    typer.echo(f"{out}: {executed} operations, {parameters / 1e6:.2f} M parameters")
