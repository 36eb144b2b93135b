"""From a table to a network, without the network's code: sums over the operations that it executes."""

from lut_server.schemas import LatencyTable, NetworkSpec


def raw_sum_us(table: LatencyTable, network: NetworkSpec) -> float:
    """The sum of the table's medians over the network's multiset of operations, in microseconds (Eq. 9).

    Raises:
        MissingRows: the table lacks operations of the network.
    """
    table.require(item.operation for item in network.operations)
    return sum(item.count * table[item.operation].latency.median_us for item in network.operations)
