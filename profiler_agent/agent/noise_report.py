"""The noise of a machine, for a person at a terminal: the figures, a verdict, and what to do about it."""

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from latency_tables.contract import NOISY_REL, Device, Environment
from profiler_agent.messages import Noise, ReferenceNoise

QUIET_REL = 0.02
BETWEEN_PROCESSES_REL = 0.03
STOLEN_SHARE = 0.01
OTHERS_CORES = 0.2
CLOCK_SHARE = 0.002
NOT_KNOWN = "not known"
_HOW_TO_LOCK = {
    "cuda": "As root: nvidia-smi -lgc MHZ, a frequency that it holds under load (nvidia-smi -rgc undoes it).",
    "cpu": "As root: cpupower frequency-set -g performance, and turbo off (1 into intel_pstate/no_turbo, or 0 into "
    "cpufreq/boost, under /sys/devices/system/cpu).",
}


def show_noise(console: Console, device: Device, environment: Environment, noise: Noise) -> None:
    """Print all that is known."""
    console.print(f"{device.name} ({device.uuid}), {noise.seconds:.0f} s in {noise.processes} processes", markup=False)
    table = Table("reference", "median, µs", "between blocks", "over processes", "disturbed blocks")
    for column in table.columns[1:]:
        column.justify = "right"
    for reference in noise.references:
        table.add_row(
            reference.name.removeprefix("reference-"),
            f"{reference.median_us:.1f}",
            f"{reference.between_blocks_rel:.2%}",
            f"{reference.between_processes_rel:.2%}" if noise.processes > 1 else "one process",
            f"{reference.disturbed} of {reference.blocks}",
        )
    console.print(table)
    for name, value in _facts(device, environment, noise).items():
        console.print(f"{name}: {value}", markup=False)
    console.print(f"\n{verdict(noise)}", style="bold", markup=False)
    for finding in findings(noise, device.kind):
        console.print(f"- {finding}", markup=False)


def verdict(noise: Noise) -> str:
    """One sentence for the whole machine."""
    worst = max(noise.references, key=_scatter_rel)
    scatter = f"{worst.name} scatters by {_scatter_rel(worst):.1%}"
    if _scatter_rel(worst) <= QUIET_REL:
        return f"Quiet: even {scatter}. Tables of this machine can be trusted as they are."
    if _scatter_rel(worst) <= NOISY_REL:
        return f"Usable: {scatter}. Differences of that size between operations need more blocks, or a quieter time."
    return f"Noisy: {scatter}. A table measured now will carry a warning."


def findings(noise: Noise, kind: str) -> Iterator[str]:
    """What spoils a table on a device of this kind, each with the way out."""
    if noise.observed.clocks == "not locked":
        yield f"Clocks are not locked. {_HOW_TO_LOCK[kind]}"
    if noise.observed.foreign_processes:
        yield f"{noise.observed.foreign_processes} other processes are on the GPU: nvidia-smi lists them; end them."
    if noise.observed.power_capped:
        yield "The power limit held the clocks back: lock them lower, or raise it (nvidia-smi -pl WATTS)."
    if noise.steal_share > STOLEN_SHARE:
        yield (
            f"The hypervisor took {noise.steal_share:.1%} of the measuring cores' time: use a machine whose cores are "
            "not shared, or measure when its neighbours rest."
        )
    throttled = noise.throttled_share or 0.0
    if throttled > STOLEN_SHARE:
        yield (
            f"The CPU quota of {noise.quota_cores:g} cores stopped the measuring for {throttled:.1%} of the time: give "
            "this container whole cores instead (docker run --cpuset-cpus in place of --cpus)."
        )
    if noise.wait_share is not None and noise.wait_share - throttled > max(STOLEN_SHARE, throttled):
        yield (
            f"Other programs kept the measuring cores for {noise.wait_share:.1%} of the time: end them, or keep them "
            "off the last cores (taskset)."
        )
    if noise.others_cores is not None and noise.others_cores > OTHERS_CORES:
        yield (
            f"Other programs kept {noise.others_cores:.1f} of {noise.cores} cores busy: they share caches and memory "
            "bandwidth with what is measured; end them."
        )
    if any(reference.between_processes_rel > BETWEEN_PROCESSES_REL for reference in noise.references):
        yield (
            "Processes disagree with each other: memory lands differently in each. Rounds take turns over processes "
            "for that; do not compare with a single process's timing."
        )
    if _scatter_rel(max(noise.references, key=_scatter_rel)) > NOISY_REL and not _has_cause(noise):
        yield (
            "Nothing that can be seen from here used the measuring cores: it is the machine itself, shared caches or "
            "memory of neighbours that a virtual machine does not show. Doubtful rows stay so; the error card of a "
            "table says whether networks are predicted well all the same."
        )
    if max(noise.clock_step_s, noise.clock_cost_s) > CLOCK_SHARE * noise.block_s:
        yield "The clock is coarse or slow beside a block; on Linux, /sys/devices/system/clocksource names it."


def _has_cause(noise: Noise) -> bool:
    shares = (noise.steal_share, noise.wait_share or 0.0, noise.throttled_share or 0.0)
    is_busy = noise.others_cores is not None and noise.others_cores > OTHERS_CORES
    return max(shares) > STOLEN_SHARE or is_busy or noise.observed.clocks == "not locked"


def _facts(device: Device, environment: Environment, noise: Noise) -> dict[str, str]:
    observed = noise.observed
    step, cost, block = (_time(seconds) for seconds in (noise.clock_step_s, noise.clock_cost_s, noise.block_s))
    facts = {
        "clock": f"steps of {step}, {cost} for an empty block; a block is {block}",
        "clocks": f"{observed.clocks or NOT_KNOWN} ({environment.clock_policy or 'no policy to be read here'})",
        "steal": f"{noise.steal_share:.2%} of the measuring cores' time",
        "waiting for a core": NOT_KNOWN if noise.wait_share is None else f"{noise.wait_share:.2%}",
        "involuntary switches": f"{noise.involuntary_switches / noise.seconds:.1f} a second",
        "others' load": NOT_KNOWN if noise.others_cores is None else f"{noise.others_cores:.1f} of {noise.cores} cores",
    }
    if noise.quota_cores is not None:
        share = NOT_KNOWN if noise.throttled_share is None else f"stopped for {noise.throttled_share:.1%} of the time"
        facts["CPU quota"] = f"{noise.quota_cores:g} cores, {share}"
    if device.kind == "cpu":
        return facts
    return facts | {
        "other processes on the GPU": _with_unit(observed.foreign_processes, ""),
        "SM clock": _with_unit(observed.sm_mhz, "MHz"),
        "temperature": _with_unit(observed.temperature_c, "°C"),
        "power": _with_unit(observed.power_w, "W"),
    }


def _scatter_rel(reference: ReferenceNoise) -> float:
    return max(reference.between_blocks_rel, reference.between_processes_rel)


def _time(seconds: float) -> str:
    for unit, size in (("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def _with_unit(value: float | None, unit: str) -> str:
    return NOT_KNOWN if value is None else f"{value:.0f} {unit}".rstrip()
