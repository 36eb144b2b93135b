"""From a table to networks on a real server, with latencies whose truth is known."""

import csv
import io
import math
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from itertools import combinations
from statistics import mean, median
from unittest.mock import Mock
from uuid import UUID

import pytest
import uuid6
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from latency_tables.calibration import Calibrated, TimedNetwork
from latency_tables.client import LutClient, NotAccurate, NotFound, Rejected
from latency_tables.contract import (
    Anchor,
    Calibration,
    Completion,
    LatencyTable,
    Measurement,
    NetworkSpec,
    Progress,
    Runtime,
)
from latency_tables.latencies import Z95
from lut_server.analysis.prediction import MeasuredNetwork, OtherCalibration, calibrated
from lut_server.service import completion
from lut_server.storage import calibrations
from lut_server.storage.database import Database
from lut_server.storage.models import LeaseRow
from tests.support import truth
from tests.support.factories import CPU, end_to_end, measurement, network, operation, profile, report
from tests.support.lut import Lut

OTHER = report("cpu-2", "EPYC")


def test_three_measured_networks_calibrate_a_table(lut: Lut) -> None:
    by = report()
    table = truth.build_table(lut, by)
    specs = truth.draw_networks(4, seed=2)
    with pytest.raises(NotFound, match=r"no calibration; 0 networks were .*PUT /v1/jobs/\{id\} with `networks`"):
        lut.client.calibration(table.id)
    truth.measure(lut, by, specs[:2])
    with pytest.raises(NotFound, match="2 networks were measured"):
        lut.client.calibration(table.id)
    truth.measure(lut, by, specs[2:3])
    first = lut.client.calibration(table.id)
    assert (first.table_id, first.table_digest, first.card.networks) == (table.id, table.digest, 3)
    assert [entry.network for entry in first.evidence] == sorted(spec.digest for spec in specs[:3])
    assert first.card.affine is None, "a line through two says nothing"

    truth.measure(lut, by, specs[:3])
    assert lut.client.calibration(table.id) == first, "the same evidence is the same calibration"
    truth.measure(lut, by, specs[3:])
    second = lut.client.calibration(table.id)
    assert second.card.networks == 4
    assert second.card.affine is not None
    assert [item.id for item in lut.client.calibrations(table.id)] == [first.id, second.id]
    assert [item.content_digest for item in lut.client.calibrations()] == [first.digest, second.digest]
    stored = lut.http.get(f"/v1/calibrations/{first.id}").content
    assert Calibration.model_validate_json(stored) == first, "calibrations never change"
    assert lut.client.tables()[0].content_digest == table.digest


def test_a_calibration_finds_what_is_true(lut: Lut) -> None:
    by = report()
    table = truth.build_table(lut, by)
    truth.measure(lut, by, truth.draw_networks(20, seed=2))
    calibration = lut.client.calibration(table.id)
    assert calibration.card.raw.mape > 0.05
    assert calibration.card.calibrated.mape < 0.012
    assert calibration.card.calibrated.within_5 == 1
    assert calibration.card.affine is not None
    assert calibration.card.calibrated.mape < calibration.card.affine.mape
    assert calibration.card.coverage90 >= 0.7
    by_key = {row.key: row for row in calibration.rows}
    for spec in truth.operations():
        assert by_key[spec.digest].isolated_us == truth.isolated_us(spec)
        assert by_key[spec.digest].latency_us == pytest.approx(truth.inside_us(spec), rel=0.06)

    unseen = truth.draw_networks(30, seed=99)
    predictions = lut.client.predict(unseen, "cpu-1", CPU)
    assert [prediction.network for prediction in predictions] == [drawn.digest for drawn in unseen]
    inside = 0
    for drawn, prediction in zip(unseen, predictions, strict=True):
        latency_us = truth.network_us(drawn)
        assert prediction.predicted_us == pytest.approx(latency_us, rel=0.05)
        assert prediction.low_us is not None
        assert prediction.high_us is not None
        inside += prediction.low_us <= latency_us <= prediction.high_us
        assert prediction.raw_us == pytest.approx(_sum_us(drawn))
        assert (prediction.calibration_id, prediction.table_id) == (calibration.id, table.id)
    assert inside >= 21, "of 30 in intervals of 90 %"


def test_the_card_says_what_the_evidence_says(lut: Lut) -> None:
    by = report()
    table = truth.build_table(lut, by)
    truth.measure(lut, by, truth.draw_networks(8, seed=2))
    calibration = lut.client.calibration(table.id)
    pairs = [(entry.predicted_us, entry.measured_us) for entry in calibration.evidence]
    off = [abs(predicted - measured) / measured for predicted, measured in pairs]
    card = calibration.card.calibrated
    assert card.mape == pytest.approx(sum(off) / 8)
    assert card.max_rel == pytest.approx(max(off))
    assert card.rmse_us == pytest.approx((sum((a - b) ** 2 for a, b in pairs) / 8) ** 0.5)
    alike = sum((a[0] < b[0]) == (a[1] < b[1]) for a, b in combinations(pairs, 2))
    assert card.tau == pytest.approx((2 * alike - 28) / 28)
    assert (
        calibration.card.coverage90
        == sum(entry.low_us <= entry.measured_us <= entry.high_us for entry in calibration.evidence) / 8
    )
    assert calibration.card.measured_at == lut.clock.now


def test_nothing_predicts_itself(lut: Lut) -> None:
    """One network ran three times as long as it should have: what is said of it comes from the others."""
    by = report()
    table = truth.build_table(lut, by)
    specs = truth.draw_networks(12, seed=2)
    truth.measure(lut, by, specs[:11])
    truth.measure(lut, by, specs[11:], factor=3)
    calibration = lut.client.calibration(table.id)
    outlier = next(entry for entry in calibration.evidence if entry.network == specs[11].digest)
    assert outlier.measured_us > 2 * outlier.predicted_us
    (result,) = lut.client.network(outlier.network).results
    assert (result.measured_us, result.predicted_us) == (outlier.measured_us, outlier.predicted_us)
    assert (result.low_us, result.high_us, result.calibration_id) == (outlier.low_us, outlier.high_us, calibration.id)
    assert result.raw_us == outlier.raw_us
    (prediction,) = lut.client.predict([specs[11]], "cpu-1", CPU)
    assert prediction.predicted_us == outlier.predicted_us


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_the_others_say_is_what_they_say_without_it(lut: Lut) -> None:
    """In closed form as if it had never been measured: the prediction, and how sure it is."""
    table = truth.build_table(lut, report())
    off, widths = [], []
    for seed in range(6):
        observed = [TimedNetwork(spec, truth.network_us(spec)) for spec in truth.draw_networks(6, seed)]
        for index, held_out in enumerate(Calibrated(table, observed, "median_us").leave_one_out()):
            others = Calibrated(table, observed[:index] + observed[index + 1 :], "median_us")
            expected = others.predict(observed[index].network)
            off.append(abs(held_out.latency_us / expected.latency_us - 1))
            widths.append((held_out.high_us - held_out.low_us) / (expected.high_us - expected.low_us))
    assert mean(off) < 0.001
    assert 0.9 < median(widths) < 1.1


def test_a_new_table_is_calibrated_by_what_was_measured_before(lut: Lut) -> None:
    by = report()
    first = truth.build_table(lut, by)
    truth.measure(lut, by, truth.draw_networks(5, seed=2))
    extra = operation(128, "conv")
    job = truth.run(lut, by, profile(extra), {extra.digest: truth.isolated_us(extra)})
    assert job.table_id not in (None, first.id)
    assert job.table_id is not None
    calibration = lut.client.calibration(job.table_id)
    assert calibration.card.networks == 5
    assert len(calibration.rows) == len(first.rows) + 1
    assert lut.client.calibration(first.id).card.networks == 5


def test_only_like_conditions_count(lut: Lut) -> None:
    by, updated = report(), report(torch="2.14.0")
    table = truth.build_table(lut, by)
    specs = truth.draw_networks(6, seed=2)
    truth.measure(lut, updated, specs)
    lut.client.register_device(by)
    with pytest.raises(NotFound, match="0 networks"):
        lut.client.calibration(table.id)
    unknown = [network(operation(8, "pool"), operation(2**n, "unknown")) for n in range(3)]
    truth.run(lut, by, end_to_end(*unknown), {spec.digest: 100.0 for spec in unknown})
    with pytest.raises(NotFound, match="3 networks were measured"):
        lut.client.calibration(table.id)
    truth.measure(lut, by, specs[:3])
    assert lut.client.calibration(table.id).card.networks == 3, "those whose operations the table has"


def test_sound_measurements_count_first_and_then_the_newest(lut: Lut) -> None:
    by = report()
    table = truth.build_table(lut, by)
    specs = truth.draw_networks(3, seed=2)
    truth.measure(lut, by, specs)
    before = lut.client.calibration(table.id)
    lut.client.submit_job(end_to_end(specs[0], network(operation(8, "pool"))))
    lease = lut.claim(by)
    doubtful = measurement(lease, specs[0].digest, by, 5.0)
    noisy = {**doubtful.model_dump(), "quality": {"converged": False}}
    again = measurement(lease, specs[0].digest, by, 4000.0)
    lut.client.put_measurements([again, Measurement.model_validate(noisy)])
    lut.finish(lease, by, 40.0)
    evidence = {entry.network: entry for entry in lut.client.calibration(table.id).evidence}
    assert len(evidence) == len(before.evidence) + 1
    assert evidence[specs[0].digest].measurement_id == again.id


def test_latencies_at_the_standard_state_count_if_all_have_them(lut: Lut) -> None:
    by = report()
    table = truth.build_table(lut, by, standard=0.9)
    specs = truth.draw_networks(4, seed=3)
    truth.measure(lut, by, specs[:3], standard=0.9)
    first = lut.client.calibration(table.id)
    assert first.basis == "normalized_us"
    assert [row.isolated_us for row in first.rows] == [row.normalized_us for row in table.rows]
    (result,) = lut.client.network(specs[0].digest).results
    assert result.measured_us == pytest.approx(0.9 * result.measured.median_us)
    assert result.raw_us == pytest.approx(0.9 * _sum_us(specs[0]))
    truth.measure(lut, by, specs[3:])
    second = lut.client.calibration(table.id)
    assert second.basis == "median_us"
    assert [row.isolated_us for row in second.rows] == [row.latency.median_us for row in table.rows]
    for spec in specs:
        (result,) = lut.client.network(spec.digest).results
        assert result.measured_us == result.measured.median_us
        assert result.raw_us == pytest.approx(_sum_us(spec))


def test_networks_of_a_loud_first_job_are_restated_when_the_device_learns_a_faster_state(lut: Lut) -> None:
    """Calibration and results follow; what was sent stays as it was, and so do networks beside another anchor."""
    by = report()
    table = truth.build_table(lut, by, standard=1.0)
    specs = truth.draw_networks(5, seed=3)
    loud, quiet = (Anchor(network=specs[0].digest, standard_us=us) for us in (1300.0, 1000.0))
    beside_another = Anchor(network=specs[4].digest, standard_us=50.0)
    truth.measure(lut, by, specs[4:], standard=1.0, std_rel=0.004, anchor=beside_another)
    truth.measure(lut, by, specs[:2], factor=1.3, standard=1.0, std_rel=0.004, anchor=loud)
    first = lut.client.calibration(table.id)
    truth.measure(lut, by, specs[2:3], standard=1.0, std_rel=0.004, anchor=quiet)
    truth.measure(lut, by, specs[3:4], factor=1.3, standard=1.0, std_rel=0.004, anchor=loud)
    second = lut.client.calibration(table.id)
    assert second.id != first.id
    measured_us = {entry.network: entry.measured_us for entry in second.evidence}
    for spec in specs:
        (result,) = lut.client.network(spec.digest).results
        assert result.measured_low_us is not None
        true_us = truth.network_us(spec)
        assert result.measured_us == pytest.approx(true_us) == measured_us[spec.digest]
        assert result.measured_low_us == pytest.approx(true_us / math.exp(0.004 * Z95))
    (sent,) = lut.client.network(specs[0].digest).results
    assert sent.measured.median_us == pytest.approx(1.3 * truth.network_us(specs[0])), "as the clock said"
    body = lut.http.get(f"/v1/measurements/{sent.measurement_id}").json()
    assert body["anchor"]["standard_us"] == 1300.0
    assert body["normalized_us"] == sent.measured.median_us


def test_intervals_of_networks_say_how_much_of_the_error_is_measuring(lut: Lut) -> None:
    by = report()
    table = truth.build_table(lut, by, standard=0.9)
    truth.measure(lut, by, truth.draw_networks(5, seed=3), standard=0.9, std_rel=0.004)
    calibration = lut.client.calibration(table.id)
    assert [entry.std_rel for entry in calibration.evidence] == pytest.approx([0.004] * 5)
    assert calibration.card.measuring == pytest.approx(0.004 * (2 / math.pi) ** 0.5)
    page = lut.http.get(f"/tables/{table.id}").text
    assert "measuring these networks accounts for 0.3" in page
    assert "(measuring: 0.3" in lut.http.get(f"/tables/{table.id}/calibration.svg").text

    truth.measure(lut, by, truth.draw_networks(1, seed=4), standard=0.9)
    calibration = lut.client.calibration(table.id)
    assert [entry.std_rel is None for entry in calibration.evidence].count(True) == 1
    assert calibration.card.measuring is None
    assert "measuring these networks" not in lut.http.get(f"/tables/{table.id}").text


def test_other_devices_of_the_space_help_a_calibration(lut: Lut) -> None:
    """What operations cost inside a network is alike on both; what the other said is kept with the calibration."""
    other = truth.build_table(lut, OTHER)
    truth.measure(lut, OTHER, truth.draw_networks(20, seed=2))
    by = report()
    table = truth.build_table(lut, by)
    truth.measure(lut, by, truth.draw_networks(5, seed=3))
    calibration = lut.client.calibration(table.id)
    assert "devices" in calibration.parts
    (helping,) = calibration.others
    theirs = lut.client.calibration(other.id)
    assert (helping.name, helping.calibration_id) == ("EPYC, pytorch fp32, batch 1, 1 thread", theirs.id)
    by_key = {row.key: row.latency_us / row.isolated_us for row in theirs.rows}
    assert helping.coefficients == pytest.approx([by_key[row.key] for row in calibration.rows])
    page = lut.http.get(f"/tables/{table.id}").text
    assert "what operations cost inside networks elsewhere (EPYC, pytorch fp32, batch 1, 1 thread)" in page
    short = {**helping.model_dump(), "coefficients": [1.0]}
    with pytest.raises(ValueError, match=r"EPYC.* has 1 coefficients for 16 rows; give one for each"):
        Calibration.model_validate({**calibration.model_dump(), "others": [short]})
    unseen = truth.draw_networks(20, seed=99)
    off = [
        abs((prediction.predicted_us or 0) / truth.network_us(drawn) - 1)
        for drawn, prediction in zip(unseen, lut.client.predict(unseen, "cpu-1", CPU), strict=True)
    ]
    assert mean(off) < 0.01, "five networks alone are off by 1.6 %"


def test_a_table_can_be_demanded_to_predict_well(lut: Lut) -> None:
    by = report()
    table = truth.build_table(lut, by)
    with pytest.raises(NotAccurate, match="three at least") as unknown:
        lut.client.table(table.id, max_mape=0.02)
    assert unknown.value.card is None
    truth.measure(lut, by, truth.draw_networks(12, seed=2))
    card = lut.client.calibration(table.id).card
    assert lut.client.table(table.id, max_mape=card.calibrated.mape) == table
    assert lut.client.newest_table("Xeon", "small", CPU, max_mape=0.5) == table
    with pytest.raises(NotAccurate, match=r"mean error .*over 12 networks.*Have its device measure") as bad:
        lut.client.newest_table("Xeon", "small", CPU, max_mape=card.calibrated.mape / 2)
    assert (bad.value.table_id, bad.value.card) == (table.id, card)
    assert "lgcnet-search profile --again" in str(bad.value)
    drawn = truth.draw_networks(2, seed=9)
    assert lut.client.predict(drawn, runtime=CPU) == lut.client.predict(drawn, "cpu-1", CPU)


def test_networks_are_predicted_on_every_device_that_can(lut: Lut) -> None:
    specs = truth.draw_networks(3, seed=2)
    with pytest.raises(NotFound, match="no device has a table for small"):
        lut.client.predict(specs, runtime=CPU)
    first = truth.build_table(lut, report())
    second = truth.build_table(lut, OTHER)
    truth.build_table(lut, report("cpu-3", "Atom"), truth.operations()[:2])
    truth.measure(lut, OTHER, specs)
    predictions = lut.client.predict(specs, runtime=CPU)
    assert [(prediction.device.name, prediction.table_id) for prediction in predictions] == [
        ("EPYC", second.id)
    ] * 3 + [("Xeon", first.id)] * 3
    assert [prediction.network for prediction in predictions] == [spec.digest for spec in specs] * 2
    assert [prediction.predicted_us is None for prediction in predictions] == [False] * 3 + [True] * 3
    assert [prediction.low_us is None for prediction in predictions] == [False] * 3 + [True] * 3
    assert predictions[0].raw_us == predictions[3].raw_us
    with pytest.raises(Rejected, match="has no row") as refused:
        lut.client.predict(specs, "Atom", CPU)
    assert refused.value.problem is not None
    assert refused.value.problem.model_extra is not None
    assert len(refused.value.problem.model_extra["missing"]) > 3
    unknown = network(operation(8, "unknown"))
    with pytest.raises(Rejected, match="has no row"):
        lut.client.predict([unknown], runtime=CPU)
    with pytest.raises(NotFound):
        lut.client.predict(specs, runtime=Runtime(threads=2))
    with pytest.raises(ValueError, match="of several spaces"):
        lut.client.predict([specs[0], network(operation(8, "conv", "0" * 64))], runtime=CPU)


def test_etag_and_csv(lut: Lut) -> None:
    by = report()
    table = truth.build_table(lut, by)
    specs = truth.draw_networks(4, seed=2)
    truth.measure(lut, by, specs[:3])
    newest, own = f"/v1/tables/{table.id}/calibration", f"/v1/calibrations/{lut.client.calibration(table.id).id}"
    tags = {}
    for path, cache in ((newest, "no-cache"), (own, "immutable")):
        for format in ("json", "csv"):
            full = lut.http.get(path, params={"format": format})
            tags[path, format] = full.headers["etag"]
            assert cache in full.headers["cache-control"]
            unchanged = lut.http.get(path, params={"format": format}, headers={"If-None-Match": full.headers["etag"]})
            assert (unchanged.status_code, unchanged.content) == (304, b"")
            assert unchanged.headers["etag"] == full.headers["etag"]
    assert len(set(tags.values())) == 2, "one for JSON, one for CSV"
    truth.measure(lut, by, specs[3:])
    assert lut.http.get(newest, headers={"If-None-Match": tags[newest, "json"]}).status_code == 200
    calibration = lut.client.calibration(table.id)
    rows = list(csv.DictReader(io.StringIO(lut.http.get(newest, params={"format": "csv"}).text)))
    by_key = {row.key: row for row in calibration.rows}
    assert len(rows) == len(by_key)
    for row in rows:
        assert float(row["isolated_us"]) == by_key[row["key"]].isolated_us
        assert float(row["latency_us"]) == by_key[row["key"]].latency_us
        assert row["name"] in truth.INSIDE
    missing = lut.http.get(f"/v1/calibrations/{uuid6.uuid7()}", headers={"If-None-Match": "*"})
    assert missing.status_code == 404


def test_evidence_that_grows_meanwhile_is_not_lost(database_url: str, lut: Lut) -> None:
    """A calibration from less evidence never becomes the newest."""
    by = report()
    table = truth.build_table(lut, by)
    specs = truth.draw_networks(5, seed=2)
    job = truth.measure(lut, by, specs[:3])
    database = Database(database_url)
    with database.read() as session:
        (lease,) = session.scalars(select(LeaseRow).where(LeaseRow.job_id == job.id))
        assert calibrations.due(session, lease, job.request, lut.clock.now) is None, "it is made already"
        made = calibrations.get(session, lut.client.calibration(table.id).id)
        evidence = calibrations.evidence_of(made)
    truth.measure(lut, by, specs[3:])
    stale = made.model_copy(update={"id": uuid6.uuid7(), "created_at": made.created_at + timedelta(days=1)})
    with database.write() as session:
        assert not calibrations.add(session, stale, evidence)
    assert lut.client.calibration(table.id).card.networks == 5
    database.close()


class SlowCalibration:
    """Calibrates as ever, but not before the test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun, self.may_end = threading.Event(), threading.Event()
        monkeypatch.setattr(completion, "calibrated", self)

    def __call__(
        self,
        table: LatencyTable,
        measured: Sequence[MeasuredNetwork],
        id: UUID,
        now: datetime,
        others: Sequence[OtherCalibration],
    ) -> Calibration:
        self.begun.set()
        assert self.may_end.wait(60)
        return calibrated(table, measured, id, now, others)


@pytest.mark.parametrize("kind", ["networks", "operations"])
def test_a_job_that_is_done_has_its_calibration(lut: Lut, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Another client reads the job while the calibration takes long; the lease can be renewed meanwhile."""
    by = report()
    table = truth.build_table(lut, by)
    specs = truth.draw_networks(3, seed=2)
    if kind == "networks":
        request, latencies_us = end_to_end(*specs), {spec.digest: truth.network_us(spec) for spec in specs}
    else:  # a job that makes a new table, which the networks calibrate that were measured before
        truth.measure(lut, by, specs)
        extra = operation(128, "conv")
        request, latencies_us = profile(extra), {extra.digest: truth.isolated_us(extra)}
    slow = SlowCalibration(monkeypatch)
    lut.client.submit_job(request)
    lease = lut.claim(by)
    for key in lease.remaining:
        lut.client.put_measurement(measurement(lease, key, by, latencies_us[key]))
    with ThreadPoolExecutor() as pool:
        ended = pool.submit(lut.client.complete, lease.id, lease.token, Completion())
        try:
            assert slow.begun.wait(60)
            assert lut.client.job(lease.job.id).state == "leased"
            lut.clock.advance(100)
            lut.client.renew(lease.id, lease.token, Progress(done=1, total=1))
            lut.clock.advance(100)
        finally:
            slow.may_end.set()
        with LutClient(lut.url, cache=False) as other:
            job = other.wait_for_job(lease.job.id)
            assert other.calibration(job.table_id or table.id).card.networks == 3
        assert (job.state, job.attempts) == ("done", 1)
        assert ended.result() == job


def test_a_measurement_that_comes_while_a_calibration_is_made_is_in_it(
    lut: Lut, monkeypatch: pytest.MonkeyPatch
) -> None:
    by = report()
    table = truth.build_table(lut, by)
    specs = truth.draw_networks(4, seed=2)
    lut.client.submit_job(end_to_end(*specs[:3]))
    lease = lut.claim(by)
    for spec in specs[:3]:
        lut.client.put_measurement(measurement(lease, spec.digest, by, truth.network_us(spec)))
    slow = SlowCalibration(monkeypatch)
    with ThreadPoolExecutor() as pool:
        ended = pool.submit(lut.client.complete, lease.id, lease.token, Completion())
        try:
            assert slow.begun.wait(60)
            again = measurement(lease, specs[0].digest, by, 2 * truth.network_us(specs[0]))
            lut.client.put_measurement(again)
        finally:
            slow.may_end.set()
        assert ended.result().state == "done"
    evidence = lut.client.calibration(table.id).evidence
    assert again.id in {network.measurement_id for network in evidence}


def test_latencies_that_cannot_be_computed_with_leave_the_job_done(lut: Lut) -> None:
    by = report()
    specs = truth.operations()
    truth.run(lut, by, profile(*specs), {spec.digest: 1e-5 if n % 2 else 9e14 for n, spec in enumerate(specs)})
    made = [network(spec, counts=[10**6 if n % 3 else 1]) for n, spec in enumerate(specs)]
    job = truth.run(lut, by, end_to_end(*made), {spec.digest: 10.0 ** (n - 3) for n, spec in enumerate(made)})
    assert job.state == "done"
    for path in ("/v1/networks", "/networks", "/", f"/tables/{lut.client.tables()[0].id}"):
        assert lut.http.get(path).status_code == 200, path


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_job_is_done_whatever_its_calibration_stumbles_over(
    lut: Lut, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    by = report()
    table = truth.build_table(lut, by)
    specs = truth.draw_networks(5, seed=2)

    with monkeypatch.context() as patch:
        patch.setattr(completion, "calibrated", Mock(side_effect=ZeroDivisionError))
        assert truth.measure(lut, by, specs[:3]).state == "done"
    assert "ZeroDivisionError" in caplog.text

    busy = OperationalError("", {}, Exception("database is locked"))
    with monkeypatch.context() as patch:
        patch.setattr(completion, "calibrated", Mock(side_effect=busy))
        lut.client.submit_job(end_to_end(specs[3]))
        lease = lut.claim(by)
        lut.client.put_measurement(measurement(lease, specs[3].digest, by))
        path, token = f"/v1/leases/{lease.id}/completion", {"Lease-Token": lease.token}
        refused = lut.http.post(path, json={}, headers=token)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert "Nothing was stored" in refused.json()["detail"]
    assert lut.client.job(lease.job.id).state == "leased"
    assert lut.http.post(path, json={}, headers=token).status_code == 200
    assert lut.client.calibration(table.id).card.networks == 4


def test_tables_are_marked_by_how_they_predict(lut: Lut) -> None:
    by = report()

    def marked() -> tuple[str, str, str]:
        (health,) = lut.client.device("cpu-1").newest_tables
        return health.card, lut.http.get("/").text, lut.http.get(f"/tables/{health.id}").text

    table = truth.build_table(lut, by)
    state, devices, page = marked()
    assert state == "none"
    assert "not known" in devices
    assert "not known how well" in page
    specs = truth.draw_networks(8, seed=2)
    truth.measure(lut, by, specs)
    (health,) = lut.client.device("cpu-1").newest_tables
    card = lut.client.calibration(table.id).card
    assert (health.mape, health.networks, health.networks_at) == (card.calibrated.mape, 8, card.measured_at)
    state, devices, page = marked()
    assert state == "good"
    assert "note" not in page
    assert "Raw sum of the rows" in page
    assert f"/tables/{table.id}/calibration.svg" in page
    lut.clock.advance(31 * 86400)
    assert marked()[0] == "old"
    assert "The error card is old" in marked()[2]
    truth.measure(lut, by, truth.draw_networks(1, seed=5))
    assert marked()[0] == "good"
    lut.clock.advance(60)
    extra = operation(128, "conv")
    truth.run(lut, by, profile(extra), {extra.digest: truth.isolated_us(extra)})
    assert marked()[0] == "old", "no network was measured since it was built"
    for number, spec in enumerate(truth.draw_networks(6, seed=7)):
        truth.measure(lut, by, [spec], factor=1.5 if number % 2 else 1)
    state, devices, page = marked()
    assert state == "bad"
    assert "off in the mean" in page
    assert "lgcnet-search profile --again" in page


def _sum_us(spec: NetworkSpec) -> float:
    return sum(item.count * truth.isolated_us(item.operation) for item in spec.operations)
