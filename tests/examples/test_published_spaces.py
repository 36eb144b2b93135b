"""Published spaces as networks of operations: against what their authors say of them."""

from pathlib import Path

import pytest

from examples.fbnet import space as fbnet
from examples.nasbench201 import space as nasbench201
from examples.published import published_space
from latency_tables.contract import NetworkSpec
from latency_tables.transfer.published import BadPublication

ALL_3X3 = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|"
DEAD = "|none~0|+|nor_conv_1x1~0|nor_conv_3x3~1|+|skip_connect~0|none~1|none~2|"


def _work(network: NetworkSpec, field: str) -> int:
    work = nasbench201.work if network.space == nasbench201.SPACE else fbnet.work
    return sum(item.count * getattr(work(item.operation), field) for item in network.operations)


def test_nasbench201_has_the_multiply_adds_that_its_authors_count() -> None:
    """NAS-Bench-201: 220.12 M for the cell of 3×3 convolutions, with 1.53 M weights; classifier and norms aside."""
    network = nasbench201.network(ALL_3X3)
    assert _work(network, "macs") == pytest.approx(220.12e6, rel=0.01)
    assert _work(network, "weights") == pytest.approx(1.531e6, rel=0.01)


def test_operations_that_the_output_does_not_hang_on_are_apart() -> None:
    operations = {item.operation: item.count for item in nasbench201.network(DEAD).operations}
    used = {spec.name: dict(spec.params)["used"] for spec in operations if "used" in dict(spec.params)}
    assert used == {"conv_1x1": False, "conv_3x3": False, "skip": True}
    assert nasbench201.work(next(spec for spec in operations if spec.name == "conv_3x3")).unused
    disconnected = nasbench201.network(DEAD.replace("skip_connect~0", "none~0"))
    assert "zeros" in {item.operation.name for item in disconnected.operations}


def test_fbnet_skips_cost_nothing_where_the_shape_stays() -> None:
    assert len(fbnet.PLACES) == 22
    skipped = fbnet.network("|".join(["skip"] * 22))
    names = [item.operation.name for item in skipped.operations for _ in range(item.count)]
    assert sorted(set(names)) == ["head", "skip", "stem"]
    assert names.count("skip") == sum(not place.is_identity for place in fbnet.PLACES) == 6
    deep = fbnet.network("|".join(["k5_e6"] * 22))
    assert sum(item.count for item in deep.operations) == 24
    assert _work(deep, "macs") > 5 * _work(skipped, "macs")
    grouped, plain = (fbnet.work(fbnet.block(name, fbnet.PLACES[2])) for name in ("k3_e1_g2", "k3_e1"))
    assert grouped.macs < plain.macs
    assert grouped.depthwise_macs == plain.depthwise_macs > 0


@pytest.mark.parametrize(
    ("network", "name", "message"),
    [
        (nasbench201.network, "nor_conv_3x3", "is no cell of NAS-Bench-201"),
        (nasbench201.network, ALL_3X3.replace("nor_conv_3x3~0", "conv_7x7~0", 1), "is no cell of NAS-Bench-201"),
        (fbnet.network, "skip|skip", r"\(2 blocks\); give 22 of"),
        (fbnet.network, "|".join(["k7_e6"] * 22), r"\(k7_e6 unknown\)"),
    ],
)
def test_a_name_of_no_network_is_refused(network: object, name: str, message: str) -> None:
    assert callable(network)
    with pytest.raises(ValueError, match=message):
        network(name)


def test_the_file_of_a_space_has_the_networks_of_a_csv(tmp_path: Path) -> None:
    path = tmp_path / "latencies.csv"
    path.write_text(f"device,network,latency_us,batch,source,date\nPixel 3,{ALL_3X3},9,1,HELP,2021-06-16\n", "utf-8")
    space = published_space("nasbench201", path)
    assert space.specs() == {ALL_3X3: nasbench201.network(ALL_3X3)}
    assert set(space.works) == {item.operation.digest for item in nasbench201.network(ALL_3X3).operations}
    path.write_text("device,network,latency_us,batch,source,date\n", "utf-8")
    with pytest.raises(BadPublication, match="has no line below its header"):
        published_space("nasbench201", path)
    path.write_text("device,network,latency_us,batch,source,date\nPixel 3,9,1\n", "utf-8")
    with pytest.raises(BadPublication, match="line 2: not 6 values"):
        published_space("nasbench201", path)
