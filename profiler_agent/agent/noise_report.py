"""The noise of a machine, for a person at a terminal."""

from rich.console import Console
from rich.table import Table

from latency_tables.contract import Device, Environment
from profiler_agent.measuring.noise import findings, verdict
from profiler_agent.messages import Noise

NOT_KNOWN = "not known"


def show_noise(console: Console, device: Device, environment: Environment, noise: Noise) -> None:
    console.print(f"{device.name} ({device.uuid}), {noise.seconds:.0f} s in {noise.processes} processes")
    table = Table("reference", "median, µs", "between blocks", "over processes", "disturbed blocks")
    for column in table.columns[1:]:
        column.justify = "right"
    for item in noise.references:
        table.add_row(
            item.name.removeprefix("reference-"),
            f"{item.median_us:.1f}",
            f"{item.between_blocks_rel:.2%}",
            f"{item.between_processes_rel:.2%}" if noise.processes > 1 else "one process",
            f"{item.disturbed} of {item.blocks}",
        )
    console.print(table)
    facts = {
        "clock": f"steps of {_time(noise.clock_step_s)}, {_time(noise.clock_cost_s)} for an empty block; a block is "
        f"{_time(noise.block_s)}",
        "clocks": f"{noise.observed.clocks or NOT_KNOWN} ({environment.clock_policy or 'no policy to be read here'})",
        "steal": f"{noise.steal_share:.2%} of the measuring cores' time",
        "waiting for a core": NOT_KNOWN if noise.wait_share is None else f"{noise.wait_share:.2%}",
        "involuntary switches": f"{noise.involuntary_switches / noise.seconds:.1f} a second",
        "others' load": NOT_KNOWN if noise.others_cores is None else f"{noise.others_cores:.1f} of {noise.cores} cores",
    }
    if device.kind == "cuda":
        observed = noise.observed
        foreign = observed.foreign_processes
        facts |= {
            "other processes on the GPU": NOT_KNOWN if foreign is None else str(foreign),
            "SM clock": _with_unit(observed.sm_mhz, "MHz"),
            "temperature": _with_unit(observed.temperature_c, "°C"),
            "power": _with_unit(observed.power_w, "W"),
        }
    for name, value in facts.items():
        console.print(f"{name}: {value}")
    console.print(f"\n{verdict(noise)}", style="bold")
    for finding in findings(noise, device.kind):
        console.print(f"- {finding}")


def _time(seconds: float) -> str:
    for unit, size in (("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def _with_unit(value: float | None, unit: str) -> str:
    return NOT_KNOWN if value is None else f"{value:.0f} {unit}"
