"""adaptive-networks: networks that decide by their input how much to compute: train, measure, expect."""

import typer

from adaptive_networks.basisnet import train as basisnet
from adaptive_networks.commands import expecting, measuring
from adaptive_networks.dance import train as dance
from adaptive_networks.ddnn import train as ddnn
from adaptive_networks.enas4d import train as enas4d
from adaptive_networks.jitnet import train as jitnet
from adaptive_networks.ranet import train as ranet
from adaptive_networks.vit_resnas import train as vit_resnas
from lgcnet_search.commands.running import run

SYSTEMS = {
    "ranet": ranet,
    "ddnn": ddnn,
    "basisnet": basisnet,
    "enas4d": enas4d,
    "vit-resnas": vit_resnas,
    "jitnet": jitnet,
    "dance": dance,
}

cli = typer.Typer(
    help="Trains networks whose cost depends on the input, and says what they cost in the mean on a device.",
    no_args_is_help=True,
    add_completion=False,
)
cli.command("measure")(measuring.measure)
cli.command("expect")(expecting.expect)
for name, system in SYSTEMS.items():
    cli.add_typer(system.cli, name=name)


def main() -> None:
    """The command; whatever is wrong with options, input, server or data becomes one line and exit code 2."""
    run(cli, "adaptive-networks")


if __name__ == "__main__":
    main()
