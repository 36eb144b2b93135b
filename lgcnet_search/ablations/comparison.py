"""What the comparison on generated scenes shows, as a section of the results page."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from lgcnet_search.ablations.arms import GENERATED
from lgcnet_search.ablations.network import Study
from lgcnet_search.ablations.outcome import Outcome
from lgcnet_search.ablations.tables import Row, Spread, markdown, rows_of, settings
from lgcnet_search.plots.charts import latency_against_beta


def write_section(study: Study, outcomes: Sequence[Outcome]) -> list[Path]:
    """Write results.md beside the tables, and sweep.png; returns their paths."""
    rows = {row.arm: row for row in rows_of(GENERATED, outcomes)}
    swept = _sweep(rows)
    picture = latency_against_beta(
        [(f"{beta:g}", row.latency_ms.mean, row.latency_ms.deviation or 0.0) for beta, row in swept],
        study.out / "sweep.png",
        "Predicted latency of what is found",
    )
    path = study.out / "results.md"
    path.write_text(_section(study, rows, swept), "utf-8")
    return [path, picture]


def _sweep(rows: dict[str, Row]) -> list[tuple[float, Row]]:
    """β and the row of the networks found with it, β rising; the paper's β is the arm that is compared."""
    return sorted(
        ((arm.beta, rows[arm.name]) for arm in GENERATED.arms if arm.sweep or arm.name == "found"),
        key=lambda point: point[0],
    )


def _section(study: Study, rows: dict[str, Row], swept: Sequence[tuple[float, Row]]) -> str:
    found, independent, random = (_accuracy(rows[name]) for name in ("found", "independent", "random"))
    ahead = found.mean - random.mean
    latencies = [row.latency_ms.mean for _, row in swept]
    course = "falling" if all(later <= earlier for earlier, later in pairwise(latencies)) else "not falling everywhere"
    verdicts = (
        f"- Found against random networks of equal or lower predicted latency: {_points(found)} against "
        f"{_points(random)} % mIoU, {ahead:+.1f} points.",
        f"- GCN-guided against independent cells: {_points(found)} against {_points(independent)} % mIoU.",
        f"- Latency over β ({', '.join(f'{beta:g}' for beta, _ in swept)}): "
        f"{', '.join(f'{latency:.1f}' for latency in latencies)} ms, {course}.",
    )
    return "\n\n".join(
        (
            f"## {GENERATED.title}",
            settings(study),
            markdown(GENERATED, list(rows.values())).rstrip(),
            "\n".join(verdicts),
            f"![Accuracy against predicted latency]({GENERATED.name}.png)",
            "![Predicted latency over β](sweep.png)\n",
        )
    )


def _accuracy(row: Row) -> Spread:
    assert row.miou_percent is not None, f"{row.arm} was trained"
    return row.miou_percent


def _points(spread: Spread) -> str:
    return f"{spread.mean:.1f}" + (f" ± {spread.deviation:.1f}" if spread.deviation is not None else "")
