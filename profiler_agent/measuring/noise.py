"""How far the references scatter, and what that and what was seen meanwhile mean for tables of this machine."""

import numpy as np

from latency_tables.contract import NOISY_REL
from profiler_agent.measuring.trace import Flags, Floats, Trace
from profiler_agent.messages import Noise, ReferenceNoise

QUIET_REL = 0.02
BETWEEN_PROCESSES_REL = 0.03
TAKEN_SHARE = 0.01
OTHERS_CORES = 0.2
CLOCK_SHARE = 0.002
_HOW_TO_LOCK = {
    "cuda": "As root: nvidia-smi -lgc MHZ, a frequency that it holds under load (nvidia-smi -rgc undoes it).",
    "cpu": "As root: cpupower frequency-set -g performance, and turbo off (1 into intel_pstate/no_turbo, or 0 into "
    "cpufreq/boost, under /sys/devices/system/cpu).",
}


def scatter_rel(latency_us: Floats) -> float:
    """The interquartile range of readings, relative to their median."""
    low, middle, high = np.quantile(latency_us, [0.25, 0.5, 0.75])
    return float((high - low) / middle)


def noise_rel(trace: Trace) -> float | None:
    """The scatter over rounds (median reading each) of the reference that scattered most; None without references."""
    return max((scatter_rel(_by_round(trace, name)) for name in trace.reference_names), default=None)


def reference_noise(trace: Trace) -> tuple[ReferenceNoise, ...]:
    """Of each reference, how it scattered within a process (median over them) and between their medians."""
    found = []
    for name in trace.reference_names:
        mine = _of(trace, name)
        each = [trace.latency_us[mine & (trace.process == process)] for process in np.unique(trace.process[mine])]
        middles = [float(np.median(readings)) for readings in each]
        found.append(
            ReferenceNoise(
                name=name,
                blocks=int(mine.sum()),
                disturbed=int((mine & trace.doubtful).sum()),
                median_us=float(np.median(trace.latency_us[mine])),
                between_blocks_rel=float(np.median([scatter_rel(readings) for readings in each])),
                between_processes_rel=(max(middles) - min(middles)) / float(np.median(middles)),
            )
        )
    return tuple(found)


def verdict(noise: Noise) -> str:
    """One sentence for the whole machine."""
    worst = max(noise.references, key=_worst)
    said = f"{worst.name} scatters by {_worst(worst):.1%}"
    if _worst(worst) <= QUIET_REL:
        return f"Quiet: even {said}. Tables of this machine can be trusted as they are."
    if _worst(worst) <= NOISY_REL:
        return f"Usable: {said}. Differences of that size between operations need more blocks, or a quieter time."
    return f"Noisy: {said}. A table measured now will carry a warning."


def findings(noise: Noise, kind: str) -> list[str]:
    """What was seen that spoils a table on a device of this kind, each with the way out."""
    found = []
    if noise.observed.clocks == "not locked":
        found.append(f"Clocks are not locked. {_HOW_TO_LOCK[kind]}")
    if noise.observed.foreign_processes:
        found.append(
            f"{noise.observed.foreign_processes} other processes are on the GPU: nvidia-smi lists them; end them."
        )
    if noise.observed.power_capped:
        found.append("The power limit held the clocks back: lock them lower, or raise it (nvidia-smi -pl WATTS).")
    if noise.steal_share > TAKEN_SHARE:
        found.append(
            f"The hypervisor took {noise.steal_share:.1%} of the measuring cores' time: use a machine whose cores are "
            "not shared, or measure when its neighbours rest."
        )
    if noise.wait_share is not None and noise.wait_share > TAKEN_SHARE:
        found.append(
            f"Other programs kept the measuring cores for {noise.wait_share:.1%} of the time: end them, or keep them "
            "off the last cores (taskset)."
        )
    if noise.others_cores is not None and noise.others_cores > OTHERS_CORES:
        found.append(
            f"Other programs kept {noise.others_cores:.1f} of {noise.cores} cores busy: they share caches and memory "
            "bandwidth with what is measured; end them."
        )
    if any(item.between_processes_rel > BETWEEN_PROCESSES_REL for item in noise.references):
        found.append(
            "Processes disagree with each other: memory lands differently in each. Rounds take turns over processes "
            "for that; do not compare with a single process's timing."
        )
    if max(noise.clock_step_s, noise.clock_cost_s) > CLOCK_SHARE * noise.block_s:
        found.append("The clock is coarse or slow beside a block; on Linux, /sys/devices/system/clocksource names it.")
    return found


def _of(trace: Trace, name: str) -> Flags:
    return np.asarray(trace.name == trace.names.index(name))


def _by_round(trace: Trace, name: str) -> Floats:
    mine = _of(trace, name)
    rounds, readings = trace.round[mine], trace.latency_us[mine]
    return np.array([np.median(readings[rounds == number]) for number in np.unique(rounds)])


def _worst(reference: ReferenceNoise) -> float:
    return max(reference.between_blocks_rel, reference.between_processes_rel)
