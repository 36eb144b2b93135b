"""A device without a table on a real server: other devices' truth, a few networks of its own, published latencies."""

import random
import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import uuid6
from pydantic import ValidationError

from latency_tables.client import Conflict, NotFound, Rejected
from latency_tables.contract import NetworkSpec, OperationSpec, Prediction, TransferRequest, Work
from latency_tables.transfer.published import Line, PublishedSpace, publications
from lut_server.__main__ import cli
from lut_server.storage import publications as stored
from lut_server.storage.database import Database
from tests.support import truth
from tests.support.factories import CPU, SPACE_DIGEST, end_to_end, operation, report
from tests.support.lut import Lut

NEW = report("new-1", "Phone")
KINDS = {"conv": 2.0, "pool": 5.0, "sep_conv": 1.0, "upsample": 3.0}
"""What the new device takes for an operation, beside what the known one takes."""
REQUEST = TransferRequest(device="Phone", runtime=CPU, space="small", space_digest=SPACE_DIGEST)


def _new_us(network: NetworkSpec) -> float:
    total = sum(
        item.count * KINDS[item.operation.name] * truth.inside_us(item.operation) for item in network.operations
    )
    return 300 + total * random.Random(network.digest).lognormvariate(0, 0.01)


def _measure(lut: Lut, networks: list[NetworkSpec]) -> None:
    truth.run(lut, NEW, end_to_end(*networks), {network.digest: _new_us(network) for network in networks})


def _learn_the_known(lut: Lut) -> None:
    for number, name in enumerate(("Xeon", "EPYC")):
        by = report(f"cpu-{number}", name)
        truth.build_table(lut, by)
        truth.measure(lut, by, truth.draw_networks(8, seed=number), factor=1 + number)


def test_a_device_is_learned_network_by_network(lut: Lut) -> None:
    """Proposed, measured, learned; it predicts networks that nobody measured, and knows how far it is off."""
    _learn_the_known(lut)
    lut.client.register_device(NEW)
    candidates = {network.digest: network for network in truth.draw_networks(40, seed=5)}
    for number in range(10):
        proposal = lut.client.propose(list(candidates.values()), "Phone", CPU)
        assert proposal.measured == number
        assert [name.split(",")[0] for name in proposal.sources] == ["Xeon", "EPYC"]
        _measure(lut, [candidates.pop(proposal.networks[0])])
    transfer = lut.client.make_transfer(REQUEST)
    assert [source.name.split(",")[0] for source in transfer.sources] == ["Xeon", "EPYC"]
    assert len(transfer.evidence) == 10
    assert sum(likeness.share for likeness in transfer.likeness) == pytest.approx(1)
    assert transfer.card is not None
    assert transfer.card.predicted.mape < 0.15

    unseen = truth.draw_networks(30, seed=9)
    predicted = lut.client.predict(unseen, "Phone", CPU)
    assert {prediction.transfer_id for prediction in predicted} == {transfer.id}
    off = [abs(_us(prediction) / _new_us(network) - 1) for prediction, network in zip(predicted, unseen, strict=True)]
    assert sum(off) / len(off) < 0.1
    inside = [
        (prediction.low_us or 0) <= _new_us(network) <= (prediction.high_us or 0)
        for prediction, network in zip(predicted, unseen, strict=True)
    ]
    assert sum(inside) >= 20

    evidence = transfer.evidence[0]
    measured = next(one for one in lut.client.networks() if one.id == evidence.network).network
    assert lut.client.predict([measured], "Phone", CPU)[0].predicted_us == evidence.predicted_us, "from the others"
    assert "Phone" in lut.http.get("/devices/new-1").text
    assert "From other devices" in lut.http.get("/devices/new-1").text
    page = lut.http.get(f"/v1/transfers/{transfer.id}?format=html").text
    assert "Networks that the device measured" in page
    assert "Where the table says otherwise" not in page


def test_the_same_evidence_is_the_same_transfer_and_more_of_it_another(lut: Lut) -> None:
    _learn_the_known(lut)
    _measure(lut, truth.draw_networks(4, seed=3))
    id = uuid6.uuid7()
    first = lut.client.make_transfer(REQUEST, id)
    assert lut.client.make_transfer(REQUEST, id) == first
    assert lut.client.make_transfer(REQUEST) == first
    assert lut.client.transfer(id) == first
    _measure(lut, truth.draw_networks(1, seed=4))
    second = lut.client.make_transfer(REQUEST)
    assert [summary.networks for summary in lut.client.transfers("Phone")] == [4, 5]
    assert lut.client.newest_transfer("Phone", "small", SPACE_DIGEST, CPU) == second
    with pytest.raises(Conflict, match=r"this is a transfer to Phone .* under a new id"):
        lut.client.make_transfer(REQUEST.model_copy(update={"device": "Xeon"}), id)


def test_a_transfer_is_never_a_table(lut: Lut) -> None:
    """Where both exist, the table predicts unless the transfer is asked for, and a page shows where they differ."""
    _learn_the_known(lut)
    _measure(lut, truth.draw_networks(6, seed=3))
    transfer = lut.client.make_transfer(REQUEST)
    with pytest.raises(NotFound, match="This device has no table yet"):
        lut.client.newest_table("Phone", "small", CPU)
    network = truth.draw_networks(1, seed=11)[0]
    with pytest.raises(NotFound, match="This device has no table yet"):
        lut.client.predict([network], "Phone", CPU, by="table")
    table = truth.build_table(lut, NEW)
    assert lut.client.predict([network], "Phone", CPU)[0].table_id == table.id
    by_transfer = lut.client.predict([network], "Phone", CPU, by="transfer")[0]
    assert (by_transfer.table_id, by_transfer.raw_us, by_transfer.transfer_id) == (None, None, transfer.id)
    assert "Where the table says otherwise" in lut.http.get(f"/v1/transfers/{transfer.id}?format=html").text


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_cannot_be_learned_says_what_to_do(lut: Lut) -> None:
    lut.client.register_device(NEW)
    networks = truth.draw_networks(5, seed=3)
    with pytest.raises(NotFound, match="nowhere"):
        lut.client.make_transfer(REQUEST.model_copy(update={"device": "nowhere"}))
    with pytest.raises(Rejected, match="measured 0 networks of small with this runtime, and a transfer takes 3"):
        lut.client.make_transfer(REQUEST)
    with pytest.raises(Rejected, match="nothing is known of this space on other devices; calibrate a table"):
        lut.client.propose(networks, "Phone", CPU)
    _measure(lut, networks)
    with pytest.raises(Rejected, match=r"nothing is known .* import published latencies"):
        lut.client.make_transfer(REQUEST)
    _learn_the_known(lut)
    with pytest.raises(Rejected, match="0 of them are not measured yet, and count is 1"):
        lut.client.propose(networks, "Phone", CPU)
    unknown = _one(operation(99, "deconv"))
    with pytest.raises(Rejected, match=r"none of 2 sources has all 1 operations"):
        lut.client.propose([unknown], "Phone", CPU)
    with pytest.raises(NotFound, match="no transfer to Phone"):
        lut.client.predict([networks[0]], "Phone", CPU, by="transfer")
    lut.client.make_transfer(REQUEST)
    with pytest.raises(Rejected, match="no source of this space knows 1 of the network's operations"):
        lut.client.predict([unknown], "Phone", CPU)
    with pytest.raises(ValidationError, match="'transfer' takes a device; name it"):
        lut.client.predict(networks, None, CPU, by="transfer")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_published_latencies_are_sources(
    lut: Lut, database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A CSV and a space file through the command; a device is then learned from nothing else."""
    networks = {f"net {number}": network for number, network in enumerate(truth.draw_networks(60, seed=1))}
    works = {spec.digest: Work(macs=_macs(spec), elements=8, weights=4, launches=1) for spec in truth.operations()}
    space = tmp_path / "space.json"
    space.write_text(PublishedSpace.of(networks, works).model_dump_json(), "utf-8")
    renamed = PublishedSpace.model_validate_json(space.read_text("utf-8")).specs()
    path = tmp_path / "published.csv"
    lines = ["device,network,latency_us,batch,source,date"]
    for device, factor in (("Pixel 3", 3.0), ("Nano", 1.5), ("TX2", 0.7)):
        lines += [
            f"{device},{name},{factor * truth.network_us(spec)},1,a paper,2021-06-16" for name, spec in renamed.items()
        ]
    path.write_text("\n".join(lines), "utf-8")
    for _ in range(2):
        _run(["publish", str(path), "--space", str(space), "--database-url", database_url])
    assert "Nano, batch 1  60 networks" in capsys.readouterr().out
    summaries = lut.client.publications("small")
    assert [summary.device for summary in summaries] == ["Pixel 3", "Nano", "TX2"], "again changes nothing"
    assert lut.client.publication(summaries[0].id).measured_on == date(2021, 6, 16)

    _measure(lut, truth.draw_networks(8, seed=3))
    transfer = lut.client.make_transfer(REQUEST)
    assert transfer.counted
    assert {source.publication_id for source in transfer.sources} == {summary.id for summary in summaries}
    unseen = truth.draw_networks(20, seed=9)
    predicted = lut.client.predict(unseen, "Phone", CPU)
    off = [abs(_us(prediction) / _new_us(network) - 1) for prediction, network in zip(predicted, unseen, strict=True)]
    assert sum(off) / len(off) < 0.15


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"header": "device,network,latency_ms,batch,source,date"},
            "latency_ms is in another unit: .*1000 µs",
        ),
        ({"device": ""}, "line 2: device is empty"),
        ({"network": "net 99"}, "network='net 99' is none of the space's 3 networks"),
        ({"latency_us": "12 ms"}, "latency_us='12 ms' is not a latency; give microseconds"),
        ({"latency_us": "-1"}, "latency_us='-1' is not a latency"),
        ({"latency_us": "nan"}, "latency_us='nan' is not a latency"),
        ({"batch": "0"}, "batch='0' is no batch size"),
        ({"batch": "١"}, "is no batch size"),
        ({"date": "June 2021"}, "date='June 2021' is no date; give it like 2021-06-16"),
        ({"device": "<b>"}, "device"),
        ({"again": "Pixel 3,net 0,7,1,a paper,2021-06-16"}, "line 3: .* is in line 2 already"),
        ({"again": "Pixel 3,net 1,7,1,another,2021-06-16"}, "has source='another'"),
    ],
)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_bad_csv_is_refused_whole(
    database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, str], message: str
) -> None:
    networks = {f"net {number}": network for number, network in enumerate(truth.draw_networks(3, seed=1))}
    (tmp_path / "space.json").write_text(PublishedSpace.of(networks, {}).model_dump_json(), "utf-8")
    good = {
        "device": "Pixel 3",
        "network": "net 0",
        "latency_us": "5",
        "batch": "1",
        "source": "a paper",
        "date": "2021-06-16",
    }
    row = ",".join({**good, **changes}[name] for name in good)
    lines = [changes.get("header", ",".join(good)), row, *([changes["again"]] if "again" in changes else [])]
    (tmp_path / "published.csv").write_text("\n".join(lines), "utf-8")
    with pytest.raises(SystemExit, match="2"):
        _run(
            [
                *("publish", str(tmp_path / "published.csv")),
                *("--space", str(tmp_path / "space.json"), "--database-url", database_url),
            ]
        )
    error = capsys.readouterr().err
    assert re.search(message, error), error
    database = Database(database_url)
    with database.read() as session:
        assert stored.page(session, None, None, 10).items == ()
    database.close()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_publication_is_of_networks_of_its_space(database_url: str) -> None:
    networks = {"one": truth.draw_networks(1, seed=1)[0]}
    made = publications([Line("Nano", "one", 5.0, 1, "a paper", date(2021, 6, 16))], networks, {})[0]
    database = Database(database_url)
    with pytest.raises(Exception, match="is not given"), database.write() as session:
        stored.put(session, made, [], made.created_at)
    other = made.model_copy(update={"space_digest": "0" * 64})
    with pytest.raises(Exception, match="is not of space 'small'"), database.write() as session:
        stored.put(session, other, list(networks.values()), made.created_at)
    database.close()


def _us(prediction: Prediction) -> float:
    assert prediction.predicted_us is not None
    return prediction.predicted_us


def _macs(spec: OperationSpec) -> int:
    return round(truth.isolated_us(spec) * 1000)


def _one(spec: OperationSpec) -> NetworkSpec:
    return NetworkSpec.of("small", SPACE_DIGEST, [0], (3, 32, 32), {spec: 1})


def _run(arguments: list[str]) -> Any:
    return cli(arguments, standalone_mode=False)
