"""What disturbed a machine while a table was measured, in words. Pure functions."""

from collections.abc import Sequence

from latency_tables.contract import NOISY_REL, Environment, Measurement, Observed


def warnings_of(environment: Environment, measurements: Sequence[Measurement]) -> tuple[str, ...]:
    """A sentence for each kind of disturbance, with the way out; unknown values raise none, but a GPU's if all are."""
    observations = [measurement.observed or Observed() for measurement in measurements]
    # A table has operations of every input size that was measured: what is asked for now may be fewer.
    of = f"{len(observations)} operations of the table"
    warnings = []
    unlocked = sum(observed.clocks == "not locked" for observed in observations)
    if unlocked:
        policy = f" ({environment.clock_policy[:80]})" if environment.clock_policy else ""
        warnings.append(
            f"Clocks are not locked{policy}, for {unlocked} of {of}: latencies follow load and "
            "heat. On that machine profiler-agent noise says how to lock them."
        )
    noises = [
        observed.noise_rel
        for observed in observations
        if observed.noise_rel is not None and observed.noise_rel > NOISY_REL
    ]
    if noises:
        warnings.append(
            f"The references of the machine scattered by {100 * max(noises):.0f} % (over {100 * NOISY_REL:.0f} % with "
            f"{len(noises)} of {of}): something else was using it. On that machine profiler-agent noise "
            "says what."
        )
    shared = sum(bool(observed.foreign_processes) for observed in observations)
    if shared:
        warnings.append(f"Other processes were on the GPU with {shared} of {of}.")
    unseen = sum(observed.sm_mhz is None and observed.temperature_c is None for observed in observations)
    if environment.cuda is not None and unseen:
        warnings.append(
            f"The GPU was not monitored with {unseen} of {of}: throttling, clocks and other processes on "
            "it were not seen. On that machine profiler-agent doctor says why."
        )
    return tuple(warnings)
