"""Choices under a ceiling as NSGA-II asks for them (Deb et al. 2002), whatever is chosen among.

Optuna's rather than pymoo's: what is chosen among are categories to it, its ask-and-tell leaves the evaluations to us,
and it repeats itself for a seed, so that the state to keep is what the evaluations gave. pymoo codes categories as
integers or mixed variables and keeps its state as a pickle of its objects.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.trial import TrialState

TRIES = 50
"""Children that cost too much or too little before a random one takes the place."""

Choices = Mapping[str, str]
"""An option for each name."""


class Asked(NamedTuple):
    """What is to be evaluated, and the least that it costs."""

    trial: optuna.Trial
    choices: Choices
    cost_us: float


class Population:
    """The same choices again for a seed and the same accuracies; none costs more than `at_most_us`.

    `options`: what there is to choose, by name. `cost_us`: what choices cost, at least. `draw`: random choices within
    the ceiling by number, another one for each. None costs less than `at_least_us`, unless nothing else is found.
    """

    def __init__(
        self,
        options: Mapping[str, Sequence[str]],
        cost_us: Callable[[Choices], float],
        draw: Callable[[int], Choices],
        at_most_us: float,
        size: int,
        seed: int,
        at_least_us: float = 0.0,
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sampler = optuna.samplers.NSGAIISampler(population_size=size, seed=seed)
        self._study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
        self._distributions = {name: CategoricalDistribution(tuple(values)) for name, values in options.items()}
        self._cost_us = cost_us
        self._draw = draw
        self._drawn = 0
        self._at_most_us = at_most_us
        self._at_least_us = at_least_us
        for _ in range(size):
            self._enqueue_random()

    def ask(self) -> Asked:
        """The next choices to evaluate: random ones first, then children of the best."""
        for _ in range(TRIES):
            asked = self._next()
            if self._at_least_us <= asked.cost_us <= self._at_most_us * (1 + 1e-9):
                return asked
            self._study.tell(asked.trial, state=TrialState.FAIL)
        self._enqueue_random()
        return self._next()

    def tell(self, asked: Asked, accuracy: float, cost_us: float) -> None:
        """What an evaluation gave."""
        self._study.tell(asked.trial, (accuracy, cost_us))

    def _next(self) -> Asked:
        trial = self._study.ask(self._distributions)  # type: ignore[arg-type]
        return Asked(trial, trial.params, self._cost_us(trial.params))

    def _enqueue_random(self) -> None:
        self._study.enqueue_trial(dict(self._draw(self._drawn)))
        self._drawn += 1
