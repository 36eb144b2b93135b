"""How far predictions of networks are from their measured latencies, in the usual figures. Pure functions."""

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from statistics import mean

import numpy as np

from latency_tables.calibration import MEAN_ERROR, Estimate, TimedNetwork
from latency_tables.contract import CardState, ErrorCard, PredictionFigures, SizeErrors
from latency_tables.kendall import kendall_tau
from lut_server.analysis.ranking import spearman_rho

BAD_MAPE = 0.05
OLD = timedelta(days=30)
MIN_AFFINE = 4
"""The line that predicts a network goes through three others at least."""


def error_card(
    raw_us: Sequence[float], held_out: Sequence[Estimate], measured: Sequence[TimedNetwork], measured_at: datetime
) -> ErrorCard:
    """The card of networks; `held_out` are their predictions from the other networks. Latencies in microseconds.

    It has the errors of each input shape, where the networks have several.
    """
    measured_us = [timed.measured_us for timed in measured]
    input_shapes = [timed.network.input_shape for timed in measured]
    inside = [
        estimate.low_us <= latency <= estimate.high_us for estimate, latency in zip(held_out, measured_us, strict=True)
    ]
    stds = [timed.std_rel for timed in measured if timed.std_rel is not None]
    affine = figures(_affine(raw_us, measured_us), measured_us) if len(raw_us) >= MIN_AFFINE else None
    return ErrorCard(
        networks=len(measured_us),
        raw=figures(raw_us, measured_us),
        affine=affine,
        calibrated=figures([estimate.latency_us for estimate in held_out], measured_us),
        coverage90=sum(inside) / len(inside),
        measuring=MEAN_ERROR * sum(stds) / len(stds) if len(stds) == len(measured) else None,
        measured_at=measured_at,
        sizes=_of_sizes(raw_us, held_out, measured_us, input_shapes) if len(set(input_shapes)) > 1 else (),
    )


def _of_sizes(
    raw_us: Sequence[float],
    held_out: Sequence[Estimate],
    measured_us: Sequence[float],
    input_shapes: Sequence[tuple[int, ...]],
) -> tuple[SizeErrors, ...]:
    """Errors by input shape, the smallest first."""
    rows = list(zip(input_shapes, raw_us, held_out, measured_us, strict=True))
    of_shape = {
        shape: [(raw, estimate.latency_us, latency) for own, raw, estimate, latency in rows if own == shape]
        for shape in sorted(set(input_shapes), key=lambda shape: (math.prod(shape), shape))
    }
    return tuple(
        SizeErrors(
            input_shape=shape,
            networks=len(latencies),
            raw_mape=mean(abs(raw / latency - 1) for raw, _, latency in latencies),
            calibrated_mape=mean(abs(predicted / latency - 1) for _, predicted, latency in latencies),
        )
        for shape, latencies in of_shape.items()
    )


def card_state(card: ErrorCard | None, built_at: datetime, now: datetime) -> CardState:
    """Whether predictions by a table that was built at `built_at` may be trusted."""
    if card is None:
        return "none"
    if card.calibrated.mape > BAD_MAPE:
        return "bad"
    return "old" if card.measured_at < max(built_at, now - OLD) else "good"


def figures(predicted_us: Sequence[float], measured_us: Sequence[float]) -> PredictionFigures:
    """Of predictions beside measured latencies (at least one), in microseconds."""
    pairs = list(zip(predicted_us, measured_us, strict=True))
    off = [abs(predicted / measured - 1) for predicted, measured in pairs]
    return PredictionFigures(
        mape=sum(off) / len(off),
        max_rel=max(off),
        within_5=sum(error <= 0.05 for error in off) / len(off),
        within_10=sum(error <= 0.1 for error in off) / len(off),
        rmse_us=math.sqrt(sum((predicted - measured) ** 2 for predicted, measured in pairs) / len(pairs)),
        tau=kendall_tau(predicted_us, measured_us),
        rho=spearman_rho(predicted_us, measured_us),
    )


def _affine(raw_us: Sequence[float], measured_us: Sequence[float]) -> list[float]:
    """Each network by the straight line that fits the others best (least squares)."""
    x, y = np.array(raw_us), np.array(measured_us)
    predicted = []
    for index in range(len(x)):
        others = np.arange(len(x)) != index
        centre = x[others].mean()
        spread = ((x[others] - centre) ** 2).sum()
        slope = ((x[others] - centre) * y[others]).sum() / spread if spread > 0 else 0.0
        predicted.append(float(y[others].mean() + slope * (x[index] - centre)))
    return predicted
