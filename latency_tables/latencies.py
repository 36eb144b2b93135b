"""Which latency of a row or a measurement counts, and their sum over a network: the same in server and search."""

import math
from collections.abc import Iterable, Mapping

from latency_tables.contract import Basis, LatencyTable, Measurement, NetworkSpec, TableRow

Z95 = 1.96
"""Standard deviations from the middle of a Gaussian to either end of its 95 % interval."""
IN_WORDS: Mapping[Basis, str] = {"normalized_us": "latency at quiet speed", "median_us": "median latency"}
"""What pictures call the latencies that sums are of."""


def basis_of(table: LatencyTable, measurements: Iterable[Measurement] = ()) -> Basis:
    """The latencies that may be compared: at the machine's standard state if all rows and measurements have that."""
    latencies: list[TableRow | Measurement] = [*table.rows, *measurements]
    return "median_us" if any(item.normalized_us is None for item in latencies) else "normalized_us"


def latency_us(measured: TableRow | Measurement, basis: Basis) -> float:
    """Of an operation alone or of a network, in microseconds; the median where it has no other."""
    normalized_us = measured.normalized_us if basis == "normalized_us" else None
    return measured.latency.median_us if normalized_us is None else normalized_us


def bounds_us(measured: TableRow | Measurement, basis: Basis) -> tuple[float, float]:
    """The 95 % interval of that latency, in microseconds; the latency twice where there is none."""
    if basis == "median_us" or measured.normalized_us is None:
        return measured.latency.low_us, measured.latency.high_us
    low_us, high_us = measured.normalized_low_us, measured.normalized_high_us
    return low_us or measured.normalized_us, high_us or measured.normalized_us


def std_rel(measured: TableRow | Measurement, basis: Basis) -> float | None:
    """The standard deviation of such a latency, relative, by the interval that holds it at 95 %; None without one.

    At the machine's standard state only: how far the median is off from one process to the next is not known.
    """
    low_us, high_us = measured.normalized_low_us, measured.normalized_high_us
    if basis != "normalized_us" or not low_us or not high_us:
        return None
    return math.log(max(high_us / low_us, 1.0)) / (2 * Z95)


def network_us(table: LatencyTable, network: NetworkSpec, basis: Basis) -> float:
    """The table's rows summed over the network's multiset of operations, in microseconds (Eq. 9).

    Raises:
        MissingRows: the table lacks operations of the network.
    """
    table.require(item.operation for item in network.operations)
    return sum(item.count * latency_us(table[item.operation], basis) for item in network.operations)
