"""lgcnet-search: from the space to a trained network: profile, search, train, evaluate, export, measure."""

from lgcnet_search.commands.running import run

COMMANDS = {
    "space": "lgcnet_search.commands.genotypes:show",
    "profile": "lgcnet_search.commands.profiling:profile",
    "calibrate": "lgcnet_search.commands.calibrating:calibrate",
    "introduce": "lgcnet_search.commands.introducing:introduce",
    "search": "lgcnet_search.commands.search:run",
    "measure": "lgcnet_search.commands.measuring:measure",
    "random": "lgcnet_search.commands.genotypes:draw",
    "pretrain": "lgcnet_search.commands.training:pretrain",
    "finetune": "lgcnet_search.commands.training:finetune",
    "evaluate": "lgcnet_search.commands.evaluation:run",
    "export": "lgcnet_search.commands.evaluation:export",
    "ablate": "lgcnet_search.commands.ablating:ablate",
    "figure-1": "lgcnet_search.commands.figure_1:figure_1",
    "rank": "lgcnet_search.commands.ranking:run",
    "jobs": "lgcnet_search.commands.queue:cli",
    "draw": "lgcnet_search.commands.drawing:cli",
}


def main() -> None:
    """The command; whatever is wrong with options, input, server or data becomes one line and exit code 2."""
    run(
        "lgcnet-search",
        "Searches segmentation networks for a device, with the latencies that its agent measured.",
        COMMANDS,
    )


if __name__ == "__main__":
    main()
