"""What operations cost on other devices, where only the latencies of their networks are known."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from latency_tables.calibration.directions import Setting
from latency_tables.calibration.estimates import Floats
from latency_tables.transfer.features import Features
from latency_tables.transfer.prior import Prior

_RIDGE = 1e-3
_FLOOR = 0.3
"""Of the median network: errors of faster ones are relative to that."""
_HUBER = 2.5
_AROUND_OTHERS = Setting(
    scale=0.1, constant=0.2, device=1.0, physics=0.5, name=0.1, place=0.0, stage=0.05, row=0.03, noise=0.05
)
"""One source around the others."""
_NU = 3.0
_MIN_OTHERS = 2


class TimedCounts(NamedTuple):
    """Networks of a device: counts (networks × columns) and latencies in one unit (networks), all positive."""

    counts: Floats
    latencies: Floats


def inferred(features: Features, devices: Sequence[TimedCounts], known: Floats | None = None) -> Floats:
    """Relative costs (devices × columns) of devices of which only networks were measured.

    `known` are the relative costs of further devices.

    Robust least squares towards the mean device; with three devices or more, then each one's posterior around the
    others under Student's t noise.

    Raises:
        ValueError: a device has no network.
    """
    for number, device in enumerate(devices):
        if not len(device.latencies):
            raise ValueError(f"devices[{number}]: has no network; give at least one")
    known = np.zeros((0, features.width)) if known is None else known
    costs = _least_squares(features, devices)
    if len(devices) + len(known) <= _MIN_OTHERS:
        return costs
    for _ in range(2):
        costs = np.array(
            [
                _around(features, np.vstack([np.delete(costs, number, axis=0), known]), device)
                for number, device in enumerate(devices)
            ]
        )
    return costs


def _least_squares(features: Features, devices: Sequence[TimedCounts]) -> Floats:
    """Relative errors with Huber weights from the second round on, ridge towards the mean of all devices."""
    costs = np.zeros((len(devices), features.width))
    mean = np.zeros(features.width)
    for turn in range(3):
        for number, (counts, latencies) in enumerate(devices):
            middle = float(np.median(latencies))
            size = np.maximum(latencies, _FLOOR * middle)
            weights = 1 / size
            if turn:
                off = np.abs(counts @ costs[number] - latencies) / size
                cut = _HUBER * 1.4826 * float(np.median(off)) + 1e-9
                weights = weights * np.sqrt(np.minimum(1, cut / np.maximum(off, 1e-12)))
            rows = counts * weights[:, None] * middle
            normal = rows.T @ rows
            ridge = _RIDGE * float(np.trace(normal)) / len(normal)
            right = rows.T @ (latencies * weights) + ridge * mean
            costs[number] = middle * np.linalg.solve(normal + ridge * np.eye(len(normal)), right)
        mean = features.relative(costs).mean(axis=0)
    return features.relative(costs)


def _around(features: Features, others: Floats, device: TimedCounts) -> Floats:
    """A device's relative costs: the posterior mean around those of the others."""
    mean = others.mean(axis=0)
    prior = Prior(features, mean, others)
    expected = np.maximum(device.counts @ mean, 1e-9)
    scale = float(np.exp(np.median(np.log(device.latencies / expected))))
    # Deviations of groups are relative to the mean device here, so that no source is drawn to what only physics says.
    covariance = 1e-8 * np.eye(features.width)
    for block, vectors in prior.directions.items():
        directions = mean[:, None] * features.groups[block] if block in features.groups else vectors
        covariance += getattr(_AROUND_OTHERS, block) ** 2 * directions @ directions.T
    inverse = np.linalg.inv(covariance)
    rows, ratios = device.counts / expected[:, None], device.latencies / (scale * expected)
    precision, noise, costs = np.ones(len(ratios)), _AROUND_OTHERS.noise, mean
    for _ in range(8):
        weighted = rows * (precision / noise**2)[:, None]
        posterior = weighted.T @ rows + inverse
        costs = np.linalg.solve(posterior, weighted.T @ ratios + inverse @ mean)
        spread = np.einsum("ij,ji->i", rows, np.linalg.solve(posterior, rows.T))
        squares = (ratios - rows @ costs) ** 2 + spread
        precision = (_NU + 1) / (_NU + squares / noise**2)
        noise = max(float(np.sqrt(np.mean(precision * squares))), 1e-4)
    relative: Floats = costs / float((features.seen @ costs).mean())
    return relative
