"""adaptive-networks: networks that decide by their input how much to compute: train, measure, expect."""

from lgcnet_search.commands.running import run

SYSTEMS = {
    "ranet": "adaptive_networks.ranet.train:cli",
    "ddnn": "adaptive_networks.ddnn.train:cli",
    "basisnet": "adaptive_networks.basisnet.train:cli",
    "enas4d": "adaptive_networks.enas4d.train:cli",
    "vit-resnas": "adaptive_networks.vit_resnas.train:cli",
    "jitnet": "adaptive_networks.jitnet.train:cli",
    "dance": "adaptive_networks.dance.train:cli",
}
COMMANDS = {
    "measure": "adaptive_networks.commands.measuring:measure",
    "expect": "adaptive_networks.commands.expecting:expect",
    **SYSTEMS,
}


def main() -> None:
    """The command; whatever is wrong with options, input, server or data becomes one line and exit code 2."""
    run(
        "adaptive-networks",
        "Trains networks whose cost depends on the input, and says what they cost in the mean on a device.",
        COMMANDS,
    )


if __name__ == "__main__":
    main()
