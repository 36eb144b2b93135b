"""What a run found: on the terminal, and as JSON."""

from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from lgcnet_search.commands.measuring import beside_quiet


@dataclass(frozen=True)
class Summary:
    """What `--json` writes; `stages_s` are seconds by stage, `total_s` those of the whole run without installing.

    `ran_us` is the network's median as it ran, `measured_us` that at the machine's quiet speed, which predictions and
    errors are of.
    `latency_percentile` is the share of 1000 random networks that are predicted to be faster than the found one.
    Accuracies are mIoU from 0 to 1 on held-out scenes with weights inherited from the search: the found network's, and
    those of random networks of its predicted latency, if there are any. `chosen_among` has those of the networks that
    the search chose from at its end, on other scenes.
    """

    device: str
    mode: str
    keys: int
    keys_measured: int
    doubtful_keys: int
    networks: int
    steps: int
    ceiling_us: float
    candidates_per_cell: float
    latency_percentile: float
    warnings: list[str]
    chosen_among: list[float]
    accuracy: float
    random_accuracies: list[float]
    random_accuracy_median: float | None
    raw_us: float
    predicted_us: float | None
    low_us: float | None
    high_us: float | None
    measured_us: float
    ran_us: float
    measured_doubts: list[str]
    raw_error_rel: float
    error_rel: float | None
    fps: float
    genotype: str
    pictures: list[str]
    database: str
    docs_url: str
    stages_s: dict[str, float]
    total_s: float


def show(summary: Summary, keep: bool) -> None:
    """Print the summary as a table."""
    rows = Table(box=None, show_header=False)
    rows.add_row("device", f"{summary.device}, mode {summary.mode}")
    doubt = f", {summary.doubtful_keys} of them doubtful" if summary.doubtful_keys else ""
    rows.add_row("table", f"{summary.keys} keys{doubt}; {summary.keys_measured} measured now")
    rows.add_row(
        "search",
        f"{summary.steps} steps under a ceiling of {summary.ceiling_us / 1000:.2f} ms, "
        f"{summary.candidates_per_cell:.1f} different candidates a cell",
    )
    if len(summary.chosen_among) > 1:
        rows.add_row(
            "", f"the most accurate of {len(summary.chosen_among)} networks that it draws, by the weights of the search"
        )
    for warning in summary.warnings:
        rows.add_row("warning", warning)
    rows.add_row("raw sum", f"{summary.raw_us / 1000:.2f} ms: the table's rows, as measured alone")
    errors = [f"raw sum {summary.raw_error_rel:+.1%}"]
    if summary.predicted_us is not None and summary.low_us is not None and summary.high_us is not None:
        interval = f"90 %: {summary.low_us / 1000:.2f} to {summary.high_us / 1000:.2f} ms"
        rows.add_row(
            "predicted",
            f"{summary.predicted_us / 1000:.2f} ms ({interval}, calibrated by {summary.networks} networks)",
        )
        errors.append(f"predicted {summary.predicted_us / summary.measured_us - 1:+.1%}")
    doubts = f"; doubtful: {', '.join(summary.measured_doubts)}" if summary.measured_doubts else ""
    rows.add_row("measured", f"{summary.ran_us / 1000:.2f} ms end to end as it ran, {summary.fps:.1f} FPS{doubts}")
    ran = beside_quiet(summary.ran_us, summary.measured_us)
    rows.add_row("quiet", f"{summary.measured_us / 1000:.2f} ms at this machine's quiet speed: {ran}")
    rows.add_row("difference", f"{', '.join(errors)} of the quiet speed")
    rows.add_row("among random", f"predicted faster than {1 - summary.latency_percentile:.0%} of 1000 random networks")
    rows.add_row("accuracy", _accuracy(summary))
    stages = ", ".join(f"{name} {seconds:.0f}" for name, seconds in summary.stages_s.items())
    rows.add_row("time", f"{summary.total_s:.0f} s: {stages}")
    rows.add_row("genotype", summary.genotype)
    rows.add_row("pictures", "\n".join(summary.pictures))
    rows.add_row("database", summary.database)
    rows.add_row("docs page", summary.docs_url + ("" if keep else " (with --keep)"))
    Console(highlight=False, soft_wrap=True).print(rows)


def _accuracy(summary: Summary) -> str:
    """The found network's accuracy beside that of random ones as fast, whichever is better."""
    found = f"mIoU {summary.accuracy:.1%} on held-out scenes, with the weights of the search"
    if summary.random_accuracy_median is None:
        return f"{found}; no random network is as fast"
    low, high = min(summary.random_accuracies), max(summary.random_accuracies)
    better = sum(summary.accuracy > accuracy for accuracy in summary.random_accuracies)
    return (
        f"{found}; {len(summary.random_accuracies)} random networks as fast: median "
        f"{summary.random_accuracy_median:.1%}, from {low:.1%} to {high:.1%}; better than {better} of them"
    )
