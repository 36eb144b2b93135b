"""Which parts a model has: those that help on networks that are held out."""

from typing import NamedTuple

import numpy as np

from latency_tables.calibration.directions import Directions
from latency_tables.calibration.estimates import Floats
from latency_tables.calibration.mixture import Predicted
from latency_tables.calibration.posterior import PARTS, HeldOut, Posterior
from latency_tables.contract import CalibrationPart

_LEAST_GAIN = 1.0
"""What a part must add to the sum of the held-out networks' log densities."""


class Model(NamedTuple):
    """A posterior with what it says of the networks that are held out."""

    posterior: Posterior
    held_out: HeldOut


class Models:
    """Models of measured networks, by their parts; each is fitted once."""

    def __init__(self, measured: Directions, excess: Floats, measuring: Floats) -> None:
        self._given = (measured, excess, measuring)
        self._fitted: dict[frozenset[CalibrationPart], Model] = {}

    def of(self, parts: frozenset[CalibrationPart]) -> Model:
        if parts not in self._fitted:
            posterior = Posterior([part for part in PARTS if part in parts], *self._given)
            self._fitted[parts] = Model(posterior, posterior.held_out())
        return self._fitted[parts]

    def chosen(self, others: bool) -> Model:
        """From none on, the part is added that helps most on held-out networks, as long as one does."""
        parts: frozenset[CalibrationPart] = frozenset()
        left = {part for part in PARTS if others or part != "devices"}
        while left:
            best = max(sorted(left), key=lambda part: self._score(parts | {part}))
            if self._score(parts | {best}) < self._score(parts) + _LEAST_GAIN:
                break
            parts, left = parts | {best}, left - {best}
        return self.of(parts)

    def held_out(self) -> Predicted:
        """Each network by the model, of those fitted, that does best on the others."""
        models = list(self._fitted.items())
        densities = np.array([model.held_out.log_density for _, model in models])
        gains = _LEAST_GAIN * np.array([len(parts) for parts, _ in models])
        without = densities.sum(axis=1)[:, None] - densities - gains[:, None]
        best = without.argmax(axis=0)
        networks = np.arange(densities.shape[1])
        values = np.array([model.held_out.predicted for _, model in models])
        return Predicted(*values[best, :, networks].T)

    def _score(self, parts: frozenset[CalibrationPart]) -> float:
        return float(self.of(parts).held_out.log_density.sum())
