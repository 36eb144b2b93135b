"""Do 90 % intervals of predictions hold? Simulation-based: devices drawn at random, whose truth is known.

Each device measures some networks and predicts others, which it measured, too. Devices are drawn from several worlds,
as the calibration supposes them and not.
"""

import argparse
import time
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from benchmarks._common import finish, show
from latency_tables.calibration import Calibrated, Estimate, TimedNetwork
from tests.support.synthetic import BASIS, World, draw_device, networks

COUNTS = (4, 8, 16)
HELD_OUT = 40
OTHERS = 3
WORLDS = {
    "as supposed": World(),
    "exact measurements": World(row_error=0.0, network_error=0.0),
    "poor measurements": World(noise=0.004, row_error=0.03, network_error=0.015),
    "heavy tails": World(tails=2.5),
    "another scale": World(scale=0.3),
    "small differences": World(name=0.07, stage=0.03, row=0.013, noise=0.004, spread=1.0),
    "large differences": World(name=0.6, stage=0.3, row=0.12, noise=0.03, spread=1.0),
    "devices alike": World(name=0.1, stage=0.04, row=0.02, common=0.08, spread=1.5),
}


class Figures(NamedTuple):
    """Of a world and a number of measured networks; `left_out` is of the measured ones, each from the others."""

    coverage90: float
    left_out90: float
    mape: float
    expected: float
    parts: Counter[str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=60, help="drawn from each world (default 60)")
    parser.add_argument("--world", action="append", choices=WORLDS, help="may be repeated; left out: all")
    options = parser.parse_args()
    names: list[str] = options.world or list(WORLDS)
    started = time.perf_counter()
    figures = {(name, count): _figures(WORLDS[name], count, options.devices) for name in names for count in COUNTS}
    show(
        f"{options.devices} devices of each world, {HELD_OUT} networks predicted on each",
        ["world", "networks", "in 90 % interval", "left out", "mean error", "expected", "parts kept"],
        [
            [
                name,
                str(count),
                f"{of.coverage90:.1%}",
                f"{of.left_out90:.1%}",
                f"{of.mape:.2%}",
                f"{of.expected:.2%}",
                ", ".join(f"{part} {number / options.devices:.0%}" for part, number in sorted(of.parts.items())),
            ]
            for (name, count), of in figures.items()
        ],
    )
    coverage = {name: {str(count): round(figures[name, count].coverage90, 4) for count in COUNTS} for name in names}
    every = [of for by_count in coverage.values() for of in by_count.values()]
    seconds = round(time.perf_counter() - started, 1)
    finish({"coverage90": coverage, "least": min(every), "most": max(every), "seconds": seconds})


def _figures(world: World, count: int, devices: int) -> Figures:
    specs = networks(max(COUNTS) + HELD_OUT)
    inside: list[bool] = []
    left_out: list[bool] = []
    errors, expected, parts = [], [], Counter[str]()
    for seed in range(devices):
        drawn = draw_device(world, specs, seed)
        others = [draw_device(world, specs, devices + OTHERS * seed + number).inside for number in range(OTHERS)]
        measured, asked = drawn.measured[:count], drawn.measured[max(COUNTS) :]
        fitted = Calibrated(drawn.table, measured, BASIS, others)
        predicted = fitted.predict_all([timed.network for timed in asked])
        inside += _inside(predicted, asked)
        left_out += _inside(fitted.leave_one_out(), measured)
        errors += [abs(one.latency_us / timed.measured_us - 1) for one, timed in zip(predicted, asked, strict=True)]
        expected.append(fitted.expected_error([timed.network for timed in asked]))
        parts.update(fitted.parts)
    covered, covered_left_out, mape, supposed = (float(np.mean(of)) for of in (inside, left_out, errors, expected))
    return Figures(covered, covered_left_out, mape, supposed, parts)


def _inside(predicted: Sequence[Estimate], measured: Sequence[TimedNetwork]) -> list[bool]:
    return [one.low_us <= timed.measured_us <= one.high_us for one, timed in zip(predicted, measured, strict=True)]


if __name__ == "__main__":
    main()
