"""What training, streams and slimming cost, expected from tables and measured.

Training steps: the agent measures the rows of a system's training steps and whole steps of several networks; each step
is then predicted by the sum of its rows, and from the other steps.
"""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from adaptive_networks.core.plugin import Plugin
from adaptive_networks.dance.plugin import space as dance
from adaptive_networks.dance.space import Space as Dance
from adaptive_networks.jitnet.plugin import space as jitnet
from adaptive_networks.jitnet.space import Space as Jitnet
from benchmarks._agent import LocalAgent
from benchmarks._common import finish, show
from latency_tables.calibration import Calibrated, TimedNetwork
from latency_tables.contract import Basis, Effort, LatencyTable, NetworkSpec, Runtime
from latency_tables.latencies import basis_of, latency_us, network_us

RUNTIME = Runtime(threads=1)

SLIM = Dance(height=180, width=240, widths=(16, 24, 40, 40, 40, 16, 16, 16, 16, 40))
"""DANCE's demonstration, pruned."""


class Case(NamedTuple):
    """Training steps of several networks."""

    plugin: Plugin[Any]
    steps: tuple[NetworkSpec, ...]


CASES: Mapping[str, Case] = {
    "dance": Case(
        dance,
        (
            *(dance.training_step(Dance(height=180, width=240), (ratio,)) for ratio in range(5)),
            dance.training_step(SLIM, (0,)),
        ),
    ),
    "jitnet": Case(
        jitnet,
        tuple(jitnet.training_step(Jitnet(192, 256, 11, multiplier)) for multiplier in (0.25, 0.375, 0.5, 0.75, 1.0)),
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--system", nargs="*", choices=CASES, default=list(CASES))
    parser.add_argument("--budget", type=float, help="seconds for each job of the agent")
    options = parser.parse_args()
    finish({"streams": {"steps": {name: add_up(name, CASES[name], options.budget) for name in options.system}}})


class Known(NamedTuple):
    """A table of rows, and networks that calibrate it."""

    table: LatencyTable
    basis: Basis
    timed: Sequence[TimedNetwork]
    calibrated: Calibrated

    @property
    def raw_us(self) -> list[float]:
        """The sum of each network's rows."""
        return [network_us(self.table, timed.network, self.basis) for timed in self.timed]


def measured(plugin: Plugin[Any], networks: Sequence[NetworkSpec], budget_s: float | None) -> Known:
    """All rows of these networks, and the networks themselves."""
    agent = LocalAgent(RUNTIME, plugin.name, plugin.digest, plugin.requirement)
    effort = Effort(budget_s=budget_s)
    operations = list(dict.fromkeys(item.operation for network in networks for item in network.operations))
    table = agent.table(operations, agent.measure(operations, effort=effort))
    found = agent.measure(networks=networks, effort=effort)
    basis = basis_of(table, found.values())
    timed = [TimedNetwork(network, latency_us(found[network.digest], basis)) for network in networks]
    return Known(table, basis, timed, Calibrated(table, timed, basis))


def add_up(name: str, case: Case, budget_s: float | None) -> dict[str, Any]:
    """Whole training steps against the sums of their rows, and as the other steps predict them."""
    known = measured(case.plugin, case.steps, budget_s)
    steps_us = np.array([timed.measured_us for timed in known.timed])
    raw_rel = np.array(known.raw_us) / steps_us - 1
    others_rel = np.array([estimate.latency_us for estimate in known.calibrated.leave_one_out()]) / steps_us - 1
    rows = [
        [f"{us / 1000:.2f}", f"{raw:+.1%}", f"{others:+.1%}"]
        for us, raw, others in zip(steps_us, raw_rel, others_rel, strict=True)
    ]
    show(f"{name}: whole training steps", ["measured, ms", "sum of rows off by", "predicted from the others"], rows)
    return {
        "steps_us": steps_us.tolist(),
        "raw_rel": raw_rel.tolist(),
        "raw_mape": float(np.abs(raw_rel).mean()),
        "calibrated_rel": others_rel.tolist(),
        "calibrated_mape": float(np.abs(others_rel).mean()),
    }


if __name__ == "__main__":
    main()
