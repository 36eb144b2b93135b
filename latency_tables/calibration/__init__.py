"""What operations cost inside a network: a Gaussian posterior from networks that were measured end to end.

With r the sum of a network's rows and T its latency, T / r = 1 + Σ_g θ_g · (share of g in r) + θ_0 · c / r + ε.
A group g is an operation by name, by name and input resolution, or a single row (a hierarchical prior); c is the mean
sum of the measured networks. All θ are Gaussian around 0 (a row costs what it costs alone), so the posterior is in
closed form, in the space of the networks. The scatter of the groups and of the noise ε is not known: a grid of settings
is averaged, each weighted by the likelihood of the measurements under it.

Measuring errors are known from intervals: each row's is one more θ of that standard deviation, each network's is noise
beside ε. Three further parts are kept where they predict held-out networks better: Student's t for ε, one scale for all
rows, and what other devices' operations cost inside networks: their mean as what is expected, each as a direction.

Numpy only. `rows` turns networks into directions, `posterior` fits one model, `models` chooses among them,
`calibrated` predicts, `design` picks what to measure.
"""

from latency_tables.calibration.calibrated import MIN_NETWORKS, VERSION, Calibrated, calibrated_by
from latency_tables.calibration.design import choose, choose_next
from latency_tables.calibration.estimates import LEAST_SHARE, MEAN_ERROR, Z90, Estimate, Gaussian, TimedNetwork

__all__ = [
    "LEAST_SHARE",
    "MEAN_ERROR",
    "MIN_NETWORKS",
    "VERSION",
    "Z90",
    "Calibrated",
    "Estimate",
    "Gaussian",
    "TimedNetwork",
    "calibrated_by",
    "choose",
    "choose_next",
]
