"""What was wrong with the machine while a table was measured, in words. Pure functions."""

from collections.abc import Sequence

from latency_tables.contract import NOISY_REL, Environment, Measurement, Observed


def warnings_of(environment: Environment, measurements: Sequence[Measurement]) -> tuple[str, ...]:
    """One sentence for each trouble that was seen, with the way out; what a device does not tell is no trouble."""
    every = [item.observed or Observed() for item in measurements]
    total = len(every)
    found = []
    unlocked = sum(item.clocks == "not locked" for item in every)
    if unlocked:
        policy = f" ({environment.clock_policy[:80]})" if environment.clock_policy else ""
        found.append(
            f"Clocks are not locked{policy}, as seen with {unlocked} of {total} operations: latencies follow load and "
            "heat. On that machine profiler-agent noise says how to lock them."
        )
    noises = [item.noise_rel for item in every if item.noise_rel is not None and item.noise_rel > NOISY_REL]
    if noises:
        found.append(
            f"The references of the machine scattered by {100 * max(noises):.0f} % (over {100 * NOISY_REL:.0f} % with "
            f"{len(noises)} of {total} operations): something else was using it. On that machine profiler-agent noise "
            "says what."
        )
    shared = sum(bool(item.foreign_processes) for item in every)
    if shared:
        found.append(f"Other processes were on the GPU with {shared} of {total} operations.")
    return tuple(found)
