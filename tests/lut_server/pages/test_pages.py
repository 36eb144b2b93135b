"""What people see: the same words for doubt everywhere, tables told apart, links below any path, nothing hostile."""

import logging
import re
from datetime import timedelta
from urllib.parse import urljoin

import httpx
import pytest
import uuid6

from latency_tables.contract import Completion, DeviceReport, LatencyTable, Observed, OperationSpec, TableSummary
from lut_server.logs import JsonFormatter, TextFormatter
from lut_server.pages.formatting import doubt, percent, size
from lut_server.pages.labels import labels
from lut_server.routes import pages
from lut_server.storage import comparisons, overview, tables
from tests.support.factories import measurement, operation, profile, report, table
from tests.support.guarded import guarded_server
from tests.support.lut import Lut
from tests.support.proxies import reverse_proxy
from tests.support.scene import Scene, furnish

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
HREF = re.compile(r'(?:href|src|srcset|data-cancel|data-hide)="([^"#]*)"')


def summary_of(made: LatencyTable, **changes: object) -> TableSummary:
    changed = made.model_copy(update={"id": uuid6.uuid7(), **changes})
    return tables.summary(tables.new_row(changed))


@pytest.mark.usefixtures("database_url")
def test_tables_are_told_apart_by_the_shortest_thing_in_which_they_differ() -> None:
    made = table(operation(8))
    twin = made.model_copy(update={"device": report("GPU-bbbb-2222").device})
    first = summary_of(made)
    assert labels([first, summary_of(twin)]) == ["Xeon, cpu-1", "Xeon, GPU-bbbb-222"]
    later = summary_of(made, created_at=made.created_at + timedelta(hours=2))
    assert labels([first, later]) == ["Xeon, 00:00:00 UTC", "Xeon, 02:00:00 UTC"]
    threads = summary_of(made, runtime=made.runtime.model_copy(update={"threads": 2}))
    assert labels([first, threads]) == ["Xeon, 1 thread", "Xeon, 2 threads"]
    assert labels([first, summary_of(made, device=report("x", "EPYC").device)]) == ["Xeon", "EPYC"]
    assert len(set(labels([first, summary_of(made)]))) == 2, "even where only the id differs"


@pytest.mark.usefixtures("database_url")
def test_numbers_and_doubt_in_words() -> None:
    assert percent(-0.0001, signed=True) == "+0.0\u202f%"
    assert size((3, 769, 1537)) == "769×1537"
    assert size((50,)) == "50"
    assert doubt((), 0, 95) == ""
    assert doubt(("scattered",), 2, 95) == "machine in doubt; 2 of 95 rows doubtful"


def measured_on_a_noisy_machine(
    lut: Lut, by: DeviceReport, specs: list[OperationSpec], scale: float, noise: float
) -> str:
    lut.client.register_device(by)
    lut.client.submit_job(profile(*specs).model_copy(update={"repeat_doubtful": True}))
    lease = lut.claim(by)
    for number, spec in enumerate(specs):
        made = measurement(lease, spec.digest, by).model_copy(
            update={
                "samples_us": tuple(scale * (100 + number) * (1 + 0.0001 * block) for block in range(20)),
                "observed": Observed(noise_rel=noise),
            }
        )
        lut.client.put_measurement(made)
    return str(lut.client.complete(lease.id, lease.token, Completion()).table_id)


@pytest.mark.parametrize(("noise", "verdict"), [(0.24, "ambiguous"), (0.01, "slower")])
def test_a_machine_in_doubt_is_that_on_every_page_and_is_not_slower_than_itself(
    lut: Lut, noise: float, verdict: str
) -> None:
    specs = [operation(channels) for channels in range(1, 9)]
    before = measured_on_a_noisy_machine(lut, report("cpu-1"), specs, 1.0, noise)
    after = measured_on_a_noisy_machine(lut, report("cpu-2"), specs, 1.06, noise)
    answer = lut.http.get("/v1/comparisons", params={"table": [before, after]}).json()
    other = answer["tables"][1]
    assert other["overall"]["verdict"] == verdict
    assert {compared["ratios"][1]["verdict"] for compared in answer["operations"]} == {verdict}
    assert (other["overall"]["low"] < 1 < other["overall"]["high"]) == (verdict == "ambiguous")
    is_doubted = noise > 0.05
    assert bool(other["warnings"]) == is_doubted
    device = lut.client.device("cpu-1")
    assert bool(device.newest_tables[0].warnings) == is_doubted
    for path in ("/", "/devices/cpu-1", f"/tables/{before}", f"/compare?table={before}&table={after}"):
        without_legend = re.sub("<abbr.*?</abbr>", "", lut.http.get(path).text)
        assert ("machine in doubt" in without_legend.lower()) == is_doubted, path


@pytest.mark.usefixtures("database_url")
def test_every_link_of_every_page_works_below_a_path(database_url: str) -> None:
    with guarded_server(database_url) as guarded:
        token = guarded.make("admin").token
        lut = Lut(guarded.url, guarded.clock)
        lut.http.headers["Authorization"] = lut.client._http.headers["Authorization"] = f"Bearer {token}"
        scene: Scene = furnish(lut)
        with (
            reverse_proxy(guarded.url, "/lut", keep_host=False) as url,
            httpx.Client(headers={"Authorization": f"Bearer {token}", "Accept": "text/html"}, trust_env=False) as http,
        ):
            pair = f"table={scene.slow.id}&table={scene.fast.id}"
            paths = ["/", "/queue", "/networks", f"/networks/{scene.network.digest}", "/devices/GPU-6f1d", "/docs"]
            paths += [f"/tables/{scene.slow.id}", "/compare", f"/compare?{pair}", "/nothing/here", "/?hidden=true"]
            seen: set[str] = set()
            for path in paths:
                page = http.get(f"{url}{path}")
                assert page.status_code in (200, 404)
                for link in HREF.findall(page.text):
                    target = urljoin(f"{url}{path}", link.replace("&amp;", "&"))
                    assert target.startswith(f"{url}/"), (path, link)
                    seen.add(target)
            kinds = {re.sub(r"[0-9a-f-]{32,}", "ID", target.split("?")[0]): target for target in sorted(seen)}
            assert len(kinds) > 20
            for target in kinds.values():
                if "/visibility" not in target:
                    assert http.get(target).status_code == 200, target
            document = http.get(f"{url}/v1/comparisons?{pair}&format=html").text
            assert HREF.findall(document) == [], "the docs page shows it in a frame, where no relative link holds"
            cancelled = [link for link in seen if "/v1/jobs/" in link]
            origin = {"Origin": url.removesuffix("/lut"), "Sec-Fetch-Site": "same-origin"}
            assert http.delete(cancelled[0], headers=origin).status_code == 200


@pytest.mark.usefixtures("database_url")
def test_the_server_takes_off_a_path_that_the_proxy_leaves(database_url: str) -> None:
    with (
        guarded_server(database_url, root_path="/team/lut") as guarded,
        guarded.http(guarded.make("read").token) as http,
    ):
        assert http.get("/team/lut/v1/devices").status_code == 200
        assert http.get("/team/lut/").status_code == 200
        moved = http.get("/team/lut")
        assert (moved.status_code, moved.headers["location"]) == (308, "lut/")
        assert http.get("/team/lutx").status_code == 404
        assert http.get("/team/lut/openapi.json").json()["servers"] == [{"url": "/team/lut"}]


def test_a_page_that_is_not_there_is_a_page(lut: Lut) -> None:
    browser = {"Accept": "text/html"}
    for path, status, words in (
        ("/nothing", 404, "no such page"),
        ("/queue/", 404, "no such page"),
        (f"/tables/{uuid6.uuid7()}", 404, "no such table"),
        ("/compare?table=xyz", 422, "table=&#39;xyz&#39;"),
    ):
        page = lut.http.get(path, headers=browser)
        assert page.status_code == status
        assert page.headers["content-type"].startswith("text/html")
        assert words in page.text
        assert "/v1/" not in page.text
        assert ">Queue</a>" in page.text
    assert lut.http.get("/nothing").headers["content-type"] == "application/problem+json"
    assert lut.http.get("/v1/nothing", headers=browser).headers["content-type"] == "application/problem+json"


def test_no_page_and_no_log_line_holds_a_control_character_or_a_secret(lut: Lut, device: DeviceReport) -> None:
    hostile = (
        "\x1b[96mTraceback\x1b[0m\x07 <b>x</b> \u202eevil Bearer lut_SECRETSECRETSECRET http://me:SECRET@host\r\nnew"
    )
    lut.client.submit_job(profile(operation(8)))
    lease = lut.claim(device)
    lut.client.complete(lease.id, lease.token, Completion(error=hostile))
    page = lut.http.get("/queue").text
    assert "Traceback" in page
    assert "&lt;b&gt;x" in page
    assert "SECRET" not in page
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", page)
    assert lut.client.job(lease.job.id).error == hostile, "the API gives what was reported"
    try:
        raise ValueError(hostile)
    except ValueError as error:
        record = logging.LogRecord(
            "x", logging.ERROR, "", 0, "%s", (hostile,), (ValueError, error, error.__traceback__)
        )
    for formatter in (TextFormatter(), JsonFormatter()):
        written = formatter.format(record)
        assert "SECRET" not in written
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", written)
    first, *others = TextFormatter().format(record).splitlines()
    assert all(line.startswith("  ") for line in others), "no line that another log line could be taken for"
    assert "new" in first


def test_large_tables_are_compared_in_an_even_choice_and_shown_in_parts(
    lut: Lut, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparisons, "MAX_SHARED", 20)
    monkeypatch.setattr(pages, "ROWS", 4)
    specs = [operation(channels, name=("conv", "pool")[channels % 2]) for channels in range(1, 31)]
    first, second = (lut.build_table(profile(*specs), report(f"cpu-{number}")) for number in (1, 2))
    pair = {"table": [str(first.id), str(second.id)]}
    answer = lut.http.get("/v1/comparisons", params=pair).json()
    assert (len(answer["operations"]), answer["left_out"]) == (10, 20)
    assert [compared["missing"] for compared in answer["tables"]] == [[], []]
    some = lut.http.get("/v1/comparisons", params={**pair, "operation": "pool"}).json()
    assert {compared["operation"]["name"] for compared in some["operations"]} == {"pool"}
    assert lut.http.get("/v1/comparisons", params={**pair, "operation": "dense"}).status_code == 422
    shown = [lut.http.get("/compare", params={**pair, "part": part}).text.count("16×16</td>") for part in range(3)]
    assert shown == [4, 4, 2]
    parts = [lut.http.get(f"/tables/{first.id}?part={part}").text for part in (0, 7)]
    assert "1–4 of 30" in parts[0]
    assert "29–30 of 30" in parts[1]
    filtered = lut.http.get(f"/tables/{first.id}?operation=pool&doubtful=true").text
    assert "none</span>" in filtered


def test_tables_of_other_input_sizes_say_so(lut: Lut) -> None:
    small = operation(8).model_copy(update={"input_shapes": ((8, 4, 4),)})
    first = lut.build_table(profile(operation(8)), report("cpu-1"))
    second = lut.build_table(profile(small), report("cpu-2"))
    pick = lut.http.get(f"/compare?table={first.id}").text
    assert "inputs: up to 16×16 against up to 4×4" in pick
    refused = lut.http.get("/v1/comparisons", params={"table": [str(first.id), str(second.id)]}).json()["detail"]
    assert "their inputs have different sizes" in refused


def test_a_list_shows_the_newest_results_of_a_network_and_where_the_others_are(
    lut: Lut, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = furnish(lut).network.digest
    results = lut.http.get(f"/v1/networks/{digest}").json()["results"]
    assert len(results) == 2
    _, newest = sorted(results, key=lambda result: result["measured_at"])
    monkeypatch.setattr(overview, "RESULTS", 1)
    monkeypatch.setattr(pages, "RESULTS", 1)
    for page, below in (("/networks", "networks"), (f"/networks/{digest}", "../v1/networks")):
        shown = lut.http.get(page, headers={"Accept": "text/html"}).text
        assert f'{below}/{digest}">1 more</a>' in shown
        (device,) = re.findall(
            r'<tr>\s*<th scope="row">([^<]*)</th>\s*<td data-label="Runtime">', shown.split(digest)[-2]
        )
        assert device == newest["device"]["name"]
