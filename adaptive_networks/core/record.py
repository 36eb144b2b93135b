"""What is known of a trained network without any device: its paths, and at which rates it is how accurate."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
from pydantic import Field, ValidationError, model_validator

from adaptive_networks.core.definition import Definition
from adaptive_networks.core.exits import Operating, all_to, operate, swept
from adaptive_networks.core.images import Judged
from adaptive_networks.core.plugin import Choice, Plugin, S
from latency_tables.contract import MAX_NETWORKS, Contract, Count, Name, NetworkSpec, NonNegative, Positive, Share, Text
from latency_tables.validation import first_error
from lgcnet_search.errors import Refused
from lgcnet_search.space.latencies import Latencies

FILE = "rates.json"
NOBODY = 2.0
"""In a file, the threshold that no confidence reaches."""


class RatedPath(Contract):
    """A path, by the name that people know it by; `macs` for one input."""

    label: Text
    network: NetworkSpec
    macs: Count

    @classmethod
    def of(cls, definition: Definition, label: str, network: NetworkSpec) -> "RatedPath":
        macs = sum(item.count * definition.count(item.operation)[1] for item in network.operations)
        return cls(label=label, network=network, macs=macs)


class Point(Contract):
    """How often inputs take each path, and how good the answers are: on held-out images, and on test images.

    `series` is the curve that it belongs to. `thresholds` are those of the exits, where there are any: confidences
    from 0 to 1, NOBODY for an exit that is passed by.
    """

    series: Text
    label: Text
    thresholds: tuple[float, ...] = ()
    rates: tuple[NonNegative, ...]
    accuracy: Share
    test_rates: tuple[NonNegative, ...]
    test_accuracy: Share


class PathRates(NamedTuple):
    """A network that inputs take, or that is executed beside: how often for a held-out input, and for a test input."""

    network: NetworkSpec
    rate: float
    test_rate: float


class Outcome(NamedTuple):
    """A point by the labels of its paths; those that it has not are not taken."""

    series: str
    label: str
    paths: Mapping[str, PathRates]
    accuracy: float
    test_accuracy: float

    def point(self, labels: Iterable[str]) -> Point:
        """Among all paths of a network."""
        taken = [self.paths.get(label) for label in labels]
        return Point(
            series=self.series,
            label=self.label,
            rates=tuple(path.rate if path else 0.0 for path in taken),
            accuracy=self.accuracy,
            test_rates=tuple(path.test_rate if path else 0.0 for path in taken),
            test_accuracy=self.test_accuracy,
        )


class Record(Contract):
    """A trained network of `system`: `held_out` images gave thresholds and rates, `test` images saw neither.

    `ceilings_us`: those under which its points were searched, where they were. `metric`: what accuracy is.
    """

    system: Name
    setting: Text
    requirement: Text
    held_out: Count
    test: Count
    paths: Annotated[tuple[RatedPath, ...], Field(min_length=1, max_length=MAX_NETWORKS)]
    points: Annotated[tuple[Point, ...], Field(min_length=1)]
    ceilings_us: tuple[Positive, ...] = ()
    metric: Text = "top-1"

    @model_validator(mode="after")
    def _check(self) -> "Record":
        for point in self.points:
            for name in ("rates", "test_rates"):
                if len(getattr(point, name)) != len(self.paths):
                    raise ValueError(
                        f"points: {name} of {point.label!r} are {len(getattr(point, name))}, there are "
                        f"{len(self.paths)} paths"
                    )
        return self

    @classmethod
    def of(
        cls,
        plugin: Plugin[Any],
        setting: str,
        counts: tuple[int, int],
        outcomes: Sequence[Outcome],
        metric: str,
    ) -> "Record":
        """`counts` are of held-out and of test images. Equal labels are of equal networks."""
        networks = {label: path.network for outcome in outcomes for label, path in outcome.paths.items()}
        return cls(
            system=plugin.name,
            setting=setting,
            requirement=plugin.requirement,
            held_out=counts[0],
            test=counts[1],
            paths=tuple(RatedPath.of(plugin.definition, label, network) for label, network in networks.items()),
            points=tuple(outcome.point(networks) for outcome in outcomes),
            metric=metric,
        )

    @classmethod
    def load(cls, folder: Path) -> "Record":
        """Of the folder that a training wrote. Raises Refused, OSError."""
        try:
            return cls.model_validate_json((folder / FILE).read_text("utf-8"))
        except ValidationError as error:
            raise Refused(f"{folder / FILE}: {first_error(error, 'record')}; train again") from error

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FILE).write_text(self.model_dump_json(indent=1) + "\n", "utf-8")

    def tell(self, point: Point) -> str:
        """How good it is."""
        return f"{self.metric} {point.accuracy:.1%} held out, {point.test_accuracy:.1%} test"

    def latency_us(self, latencies: Latencies) -> list[float]:
        """Of every path, inside a network where the table is calibrated. Raises MissingRows."""
        return [latencies.network_us(path.network) for path in self.paths]

    def rated(self, rates: Sequence[float]) -> list[tuple[str, NetworkSpec, float]]:
        """The paths as a server is asked for their expectation."""
        return [(path.label, path.network, rate) for path, rate in zip(self.paths, rates, strict=True)]


def rated_paths(plugin: Plugin[S], space: S, labels: Sequence[str], choice: Choice = ()) -> list[RatedPath]:
    """The paths to all exits of a network; a label for each."""
    return [
        RatedPath.of(plugin.definition, label, network)
        for label, network in zip(labels, plugin.paths(space, choice), strict=True)
    ]


def points_of(held_out: Judged, test: Judged, series: str = "thresholds", alone: str = "one exit") -> list[Point]:
    """Every policy of thresholds, and every exit that all images take."""
    exits = len(held_out.confidence)
    points = [
        operated(series, f"ρ = {policy / 20:g}", operating, test)
        for policy, operating in enumerate(swept(held_out.confidence, held_out.correct), start=1)
    ]
    return points + [
        operated(
            alone,
            f"exit {exit + 1}",
            operate(held_out.confidence, held_out.correct, all_to(exit, exits)),
            test,
        )
        for exit in range(exits)
    ]


def operated(series: str, label: str, operating: Operating, test: Judged) -> Point:
    """A point of operation that was chosen with held-out images, on test images too."""
    tested = operate(test.confidence, test.correct, operating.thresholds)
    return Point(
        series=series,
        label=label,
        thresholds=tuple(np.clip(operating.thresholds, 0, NOBODY).tolist()),
        rates=operating.rates,
        accuracy=operating.accuracy,
        test_rates=tested.rates,
        test_accuracy=tested.accuracy,
    )


def moved(points: Iterable[Point], first: int, paths: int) -> list[Point]:
    """Points of some paths as points of `paths` paths, of which theirs begin at `first`."""

    def spread(rates: tuple[float, ...]) -> tuple[float, ...]:
        return (*[0.0] * first, *rates, *[0.0] * (paths - first - len(rates)))

    return [
        point.model_copy(update={"rates": spread(point.rates), "test_rates": spread(point.test_rates)})
        for point in points
    ]
