"""Write the space's file for `lut-server publish`: the networks of a published space that a CSV of latencies names.

python -m examples.published nasbench201 latencies.csv > nasbench201.json
"""

import sys
from collections.abc import Callable
from pathlib import Path

from examples.fbnet import space as fbnet
from examples.nasbench201 import space as nasbench201
from latency_tables.contract import NetworkSpec, OperationSpec, Work
from latency_tables.transfer.published import BadPublication, PublishedSpace, read_lines

SPACES: dict[str, tuple[Callable[[str], NetworkSpec], Callable[[OperationSpec], Work]]] = {
    nasbench201.SPACE: (nasbench201.network, nasbench201.work),
    fbnet.SPACE: (fbnet.network, fbnet.work),
}


def published_space(name: str, csv: Path) -> PublishedSpace:
    """The networks that a CSV names. Raises KeyError for an unknown space, ValueError, OSError."""
    network, work = SPACES[name]
    networks = {line.network: network(line.network) for line in read_lines(csv)}
    if not networks:
        raise BadPublication(f"{csv}: has no line below its header")
    operations = {item.operation.digest: item.operation for spec in networks.values() for item in spec.operations}
    return PublishedSpace.of(networks, {digest: work(operation) for digest, operation in operations.items()})


def main() -> None:
    if len(sys.argv) != 3 or sys.argv[1] not in SPACES:
        sys.exit(f"usage: python -m examples.published {'|'.join(SPACES)} LATENCIES.csv")
    try:
        print(published_space(sys.argv[1], Path(sys.argv[2])).model_dump_json())
    except (ValueError, OSError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
