import re
from collections.abc import Iterator
from typing import Any, get_args

import pytest

from latency_tables.contract import Comparison, Mode
from tests.support import truth
from tests.support.factories import CPU, end_to_end, network, operation, profile, report
from tests.support.lut import Lut
from tests.support.scene import furnish

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

# A lease's token is in its agent's hands only; tokens are made by people who have one.
NEEDS_A_SECRET = {"renew_lease", "complete_lease", "give_back_lease", "create_token", "revoke_token", "rotate_token"}
EMPTY = {"list_tokens", "list_publications"}
# What has nothing to work on says so on the page, or has no id to try.
NO_OTHER_DEVICE: dict[str, int | None] = {
    "list_transfers": None,
    "make_transfer": 422,
    "get_newest_transfer": 404,
    **dict.fromkeys(("get_transfer", "get_publication"), None),
}


def _document(lut: Lut) -> dict[str, Any]:
    document: dict[str, Any] = lut.http.get("/openapi.json").json()
    return document


def _operations(lut: Lut) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in _document(lut)["paths"].items():
        for method, described in methods.items():
            yield path, method, described


def _example(of: dict[str, Any]) -> Any:
    """What the docs page fills in."""
    return next(iter(of["examples"].values()))["value"] if "examples" in of else of["example"]


def _execute(lut: Lut, path: str, method: str, operation: dict[str, Any]) -> Any:
    """What "Execute" on the docs page sends, without any typing."""
    query: list[tuple[str, Any]] = []
    headers = {}
    for parameter in operation.get("parameters", ()):
        value = _example(parameter)
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", str(value))
        elif parameter["in"] == "header":
            headers[parameter["name"]] = value
        else:
            query += [(parameter["name"], each) for each in (value if isinstance(value, list) else [value])]
    body = _example(operation["requestBody"]["content"]["application/json"]) if "requestBody" in operation else None
    return lut.http.request(method, path, params=query, headers=headers, json=body)


def test_every_operation_says_what_it_does_and_how_it_fails(lut: Lut) -> None:
    operations = list(_operations(lut))
    ids = [described["operationId"] for _, _, described in operations]
    assert len(set(ids)) == len(ids)
    for path, method, described in operations:
        assert described["summary"], (path, method)
        assert len(described["tags"]) == 1
        refused = {status: answer for status, answer in described["responses"].items() if status[0] == "4"}
        assert refused or path == "/healthz", (path, method)
        for answer in refused.values():
            assert list(answer["content"]) == ["application/problem+json"], (path, method)
    assert "Problem" in _document(lut)["components"]["schemas"]


def test_nouns_stand_in_reading_order_with_a_sentence_each(lut: Lut) -> None:
    tags = _document(lut)["tags"]
    used = {described["tags"][0] for _, _, described in _operations(lut)}
    assert {tag["name"] for tag in tags} == used
    assert all(tag["description"] for tag in tags)
    assert [tag["name"] for tag in tags][:5] == ["devices", "jobs", "leases", "measurements", "tables"]


def test_the_docs_page_needs_no_internet(lut: Lut) -> None:
    sources = re.findall(r'(?:src|href)="([^"]+)"', lut.http.get("/docs").text)
    assert sources
    for source in sources:
        assert source.startswith("./"), f"loads {source}"
        assert lut.http.get(source).status_code == 200, source


def test_every_example_works_on_a_database_as_the_quickstart_leaves_it(lut: Lut) -> None:
    """One CPU with one table, calibrated by a few networks."""
    cpu = report()
    table = truth.build_table(lut, cpu)
    truth.measure(lut, cpu, truth.draw_networks(4, seed=2))
    _try_everything(lut, expected={"cancel_job": 409, "remove_device": 409, "name_network": 404, **NO_OTHER_DEVICE})
    assert [job.state for job in lut.client.jobs()] == ["done", "done"], "trying out changes nothing"
    assert len(lut.client.measurements()) == len(table.rows) + 4
    assert len(lut.client.calibrations()) == 1


def test_without_a_calibration_its_examples_say_how_to_get_one(lut: Lut) -> None:
    lut.build_table(profile(operation(8)), report())
    lut.run_job(end_to_end(network(operation(8))), report(), 110)
    found = next(item for item in _operations(lut) if item[2]["operationId"] == "get_table_calibration")
    answer = _execute(lut, *found)
    assert answer.status_code == 404
    assert "1 network was measured" in answer.json()["detail"]


def test_every_example_works_on_the_database_of_a_team(lut: Lut) -> None:
    furnish(lut)
    for path, method, described in _operations(lut):
        for parameter in described.get("parameters", ()):  # the newest table is of a CPU, which has threads
            if described["operationId"] == "get_publication":  # nobody stored one
                continue
            assert "example" in parameter or "examples" in parameter, (path, method, parameter["name"])
    before = [(job.id, job.state) for job in lut.client.jobs()]
    refused = {
        "claim_lease": None,
        "remove_device": 409,
        "name_network": 404,
        "get_publication": None,
    }
    _try_everything(lut, expected=refused)
    assert [(job.id, job.state) for job in lut.client.jobs()] == before, "who only looks gets no work"


def test_what_finds_nothing_in_a_database_says_so(lut: Lut) -> None:
    lut.build_table(profile(operation(8)), report())
    described = {operation["operationId"]: operation.get("description", "") for _, _, operation in _operations(lut)}
    for name in ("get_transfer", "get_newest_transfer", "get_publication"):
        assert "until then this answers 404" in described[name]
    for name in ("make_transfer", "propose_networks"):
        assert "answers 422" in described[name]
    furnish(lut)
    described = {operation["operationId"]: operation.get("description", "") for _, _, operation in _operations(lut)}
    saying = [name for name, words in described.items() if "answers 422" in words or "answers 404" in words]
    assert saying == ["get_publication"]


def test_the_example_of_a_comparison_is_of_two_like_tables_of_two_devices(lut: Lut) -> None:
    scene = furnish(lut)
    found = next(item for item in _operations(lut) if item[2]["operationId"] == "compare_tables")
    table = next(item for item in found[2]["parameters"] if item["name"] == "table")
    assert table["example"] == [str(scene.slow.id), str(scene.fast.id)]
    answer = _execute(lut, *found)
    assert answer.headers["content-type"].startswith("text/html")
    assert "<svg" in answer.text


def _try_everything(lut: Lut, expected: dict[str, int | None]) -> None:
    for path, method, described in list(_operations(lut)):
        name = described["operationId"]
        status = expected.get(name, 200)
        if name in NEEDS_A_SECRET or status is None:
            continue
        answer = _execute(lut, path, method, described)
        assert answer.status_code in (status, 204), (name, answer.text)
        if path.startswith("/v1/") and answer.headers.get("content-type") == "application/json" and method == "get":
            items = answer.json().get("items")
            assert items is None or items or name in EMPTY, f"{name} finds nothing"


def test_examples_are_for_those_who_may_read(lut: Lut) -> None:
    lut.build_table(profile(operation(8)), report())
    assert "cpu-1" in lut.http.get("/openapi.json").text
    elsewhere = lut.http.get("/openapi.json", headers={"Host": "rebound.example.com"})
    assert elsewhere.status_code == 200
    assert "cpu-1" not in elsewhere.text


def test_comparisons_by_table_and_by_device(lut: Lut) -> None:
    scene = furnish(lut)
    ids = [str(scene.slow.id), str(scene.fast.id)]
    by_table = Comparison.model_validate_json(lut.http.get("/v1/comparisons", params={"table": ids}).content)
    assert [item.table.id for item in by_table.tables] == [scene.slow.id, scene.fast.id]
    assert by_table.tables[1].overall.verdict == "faster"
    assert by_table.tables[1].verdicts.faster > 80
    assert [len(item.missing) for item in by_table.tables] == [0, 1]
    assert len(by_table.operations) == 94
    assert by_table.tables[1].proxy.startswith("Yes")

    devices = {"device": ["nvidia rtx a4000", "GPU-6f1d"]}
    refused = lut.http.get("/v1/comparisons", params=devices)
    assert refused.status_code == 422
    assert refused.json()["unlike"] == ["torch: 2.13.0 against 2.14.0"]
    assert "allow_unlike=true" in refused.json()["detail"]
    by_device = lut.http.get("/v1/comparisons", params={**devices, "allow_unlike": True})
    comparison = Comparison.model_validate_json(by_device.content)
    assert [item.table.id for item in comparison.tables] == [scene.fast.id, scene.updated.id]
    assert list(comparison.unlike) == ["torch: 2.13.0 against 2.14.0"]


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        ({}, 422, "compare 2 to 10"),
        ({"device": ["cpu-1"]}, 422, "compare 2 to 10"),
        ({"device": ["cpu-1", "cpu-2"]}, 422, "share no operation"),
        ({"device": ["cpu-1", "cpu-9"]}, 404, "Devices there are"),
        (
            {"device": ["cpu-1"], "mode": ["pytorch", "tensorrt"]},
            404,
            "mode=tensorrt.*Tables of this device: small, pytorch",
        ),
        ({"device": ["cpu-1"] * 3, "mode": ["pytorch"] * 4}, 422, "12 tables were given"),
        ({"device": ["cpu-1"] * 2, "margin_rel": 0}, 422, "margin_rel"),
        ({"device": ["cpu-1"] * 2, "format": "png"}, 422, "format"),
    ],
)
def test_what_cannot_be_compared_is_refused_with_the_way_out(
    lut: Lut, query: dict[str, Any], status: int, said: str
) -> None:
    lut.build_table(profile(operation(8)), report())
    lut.build_table(profile(operation(16)), report("cpu-2", "EPYC"))
    answer = lut.http.get("/v1/comparisons", params=query)
    assert answer.status_code == status
    assert re.search(said, answer.json()["detail"])


def test_devices_show_the_health_of_their_newest_tables(lut: Lut) -> None:
    cpu = report()
    lut.build_table(profile(operation(8)), cpu)
    newest = lut.build_table(profile(operation(16)), cpu)
    lut.clock.advance(90)
    for record in (*lut.client.devices(), lut.client.device("cpu-1")):
        (health,) = record.newest_tables
        assert (health.id, health.age_s, health.rows) == (newest.id, 90, 2)
        assert (health.converged_share, health.noisy, health.throttled, health.runtime) == (1, 0, 0, CPU)
        assert record.tables == 2
    scene = furnish(lut)
    record = lut.client.device("GPU-a91c")
    (health,) = record.newest_tables
    qualities = [row.quality for row in scene.fast.rows]
    assert health.noisy == sum(quality.noisy for quality in qualities) > 0
    assert health.throttled == sum(quality.throttled for quality in qualities) > 0
    assert health.converged_share == pytest.approx(sum(quality.converged for quality in qualities) / 94)


def test_all_modes_can_be_compared_at_once(lut: Lut) -> None:
    (mode,) = [
        parameter
        for parameter in _document(lut)["paths"]["/v1/comparisons"]["get"]["parameters"]
        if parameter["name"] == "mode"
    ]
    assert mode["schema"]["maxItems"] == len(get_args(Mode))
