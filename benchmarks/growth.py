"""Every page and every read while a database grows: by default 50 devices, `--full` 500 devices with 5000 tables and
two million measurements, on SQLite and PostgreSQL, while agents report. Takes a quarter of an hour with `--full`."""

import argparse
import json
import math
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from benchmarks._common import DATABASES, console, finish, show
from benchmarks._crowd import NETWORKS, RUNTIMES, Crowd, Examples, device_of
from latency_tables.client import LutClient
from latency_tables.contract import Completion, NetworkSpec
from lut_server.storage.database import Database
from lut_server.storage.models import Base, LatencyTableRow, MeasurementRow
from tests.support import scene
from tests.support.processes import ENVIRONMENT, Server, make_token

DEVICES = 50
FULL = 500
LARGE = 10_000
REQUESTS = 60
LIMIT_MS = 250
GIVE_UP_S = 60.0
REPORTS_PER_S = 5
OWN_NETWORKS = 2000


@dataclass(frozen=True)
class Route:
    """A kind of request; `path` makes one at random."""

    name: str
    path: Callable[[], str]
    body: Callable[[], Any] | None = None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--devices", type=int, default=DEVICES, help=f"default {DEVICES}; a quarter of it is measured too"
    )
    parser.add_argument("--full", action="store_true", help=f"{FULL} devices")
    parser.add_argument("--database", choices=[*DATABASES], action="append", help="default: both")
    parser.add_argument("--requests", type=int, default=REQUESTS, help=f"of each route (default {REQUESTS})")
    options = parser.parse_args()
    devices = FULL if options.full else options.devices
    result: dict[str, Any] = {}
    for name in options.database or DATABASES:
        with tempfile.TemporaryDirectory(prefix="growth-") as folder, DATABASES[name](Path(folder)) as url:
            result[name] = _measure(name, url, Path(folder), devices, options.requests)
    finish({"devices": devices, **result})


def _measure(kind: str, url: str, folder: Path, devices: int, requests: int) -> dict[str, Any]:
    token = make_token(url, "admin")
    server = Server(url, folder, environment=ENVIRONMENT)
    server.start()
    try:
        with LutClient(server.url, token, cache=False) as client:
            large, other = (_large_table(client, uuid) for uuid in ("GPU-large-1", "GPU-large-2"))
            examples = _examples(client)
        database = Database(url)
        crowd = Crowd(database, examples)
        figures: dict[int, dict[str, list[float]]] = {}
        for size in (max(2, devices // 4), devices):
            started = time.monotonic()
            crowd.grow(size)
            _settle(database)
            console.print(f"{kind}: {size} devices after {time.monotonic() - started:.0f} s more")
            server.kill()
            server.start()
            figures[size] = _read(server, token, database, size, (large, other), requests, examples)
        rss = _rss_bytes(server.pid)
        rows, size_bytes = _rows(database), _bytes(database, folder)
        server.kill()
        timed = _maintain(kind, database, url, folder)
    finally:
        server.kill()
    few, many = figures[max(2, devices // 4)], figures[devices]
    growth = devices / max(2, devices // 4)
    exponents = {
        name: math.log(statistics.median(many[name]) / statistics.median(few[name])) / math.log(growth) for name in many
    }
    p99 = {name: _p99(times) for name, times in many.items()}
    show(
        f"{kind}, {devices} devices: milliseconds while agents report",
        ["", "median", "p99", "exponent over size"],
        [
            [name, f"{statistics.median(times) * 1000:.1f}", f"{p99[name]:.0f}", f"{exponents[name]:+.2f}"]
            for name, times in sorted(many.items(), key=lambda item: -p99[item[0]])
        ],
    )
    database.close()
    return {
        "p99_ms": {name: round(value, 1) for name, value in p99.items()},
        "over_limit": sorted(name for name, value in p99.items() if value > LIMIT_MS),
        "rows": rows,
        "database_bytes": size_bytes,
        "server_rss_bytes": rss,
        "exponent": round(statistics.median(exponents.values()), 3),
        "largest_exponent": round(max(exponents.values()), 3),
        **timed,
    }


def _read(
    server: Server,
    token: str,
    database: Database,
    devices: int,
    large: tuple[str, str],
    requests: int,
    examples: Examples,
) -> dict[str, list[float]]:
    """Seconds of every request of each route, in random order, while agents report."""
    draw = random.Random(5)
    with database.read() as session:
        routes = _routes(session, draw, devices, large, examples)
    order = [route for route in routes for _ in range(requests)]
    draw.shuffle(order)
    headers = {"Authorization": f"Bearer {token}", "Accept": "text/html, application/json"}
    times: dict[str, list[float]] = {route.name: [] for route in routes}
    stop = threading.Event()
    reporters = [threading.Thread(target=_report, args=(server.url, token, number, stop)) for number in range(2)]
    for thread in reporters:
        thread.start()
    with httpx.Client(base_url=server.url, headers=headers, timeout=60, trust_env=False) as http:
        for route in routes:  # what is made once per process is not a read
            _ask(http, route)
        for route in order:
            times[route.name].append(_ask(http, route))
    stop.set()
    for thread in reporters:
        thread.join()
    return times


def _ask(http: httpx.Client, route: Route) -> float:
    path = route.path()
    body = route.body and route.body()
    started = time.perf_counter()
    while True:
        answer = http.get(path) if body is None else http.post(path, json=body)
        seconds = time.perf_counter() - started
        if answer.status_code != 503 or seconds > GIVE_UP_S:  # to be asked to wait is to wait
            break
    if answer.status_code != 200:
        raise RuntimeError(f"{path}: {answer.status_code} {answer.text[:300]}")
    return seconds


def _routes(
    session: Session, draw: random.Random, devices: int, large: tuple[str, str], examples: Examples
) -> list[Route]:
    crowd = LatencyTableRow.device.like("GPU-crowd-0%")
    some = session.scalars(select(LatencyTableRow.id).where(crowd).limit(20_000)).all()
    by_runtime = [
        session.scalars(
            select(LatencyTableRow.id).where(crowd, LatencyTableRow.runtime == runtime.digest).limit(2000)
        ).all()
        for runtime in RUNTIMES
    ]
    job_ids = session.scalars(text("SELECT id FROM jobs WHERE state = 'done' ORDER BY sequence DESC LIMIT 500")).all()
    network_of = examples.networks

    def table() -> str:
        return str(draw.choice(some))

    def device() -> str:
        return f"GPU-crowd-{draw.randrange(devices):04}"

    def pair() -> str:
        first, second = draw.sample(list(draw.choice(by_runtime)), 2)
        return f"table={first}&table={second}&allow_unlike=true"

    def runtime() -> str:
        chosen = draw.choice(RUNTIMES)
        return f"mode={chosen.mode}&precision={chosen.precision}"

    def network() -> NetworkSpec:
        return draw.choice(network_of)

    def prediction() -> Any:
        return {
            "networks": [json.loads(network().model_dump_json())],
            "device": device(),
            "runtime": {"mode": "pytorch"},
        }

    return [
        Route("/", lambda: "/"),
        Route("/?part", lambda: f"/?part={draw.randrange(max(1, devices // 25))}"),
        Route("/queue", lambda: "/queue"),
        Route("/networks", lambda: f"/networks?part={draw.randrange(5)}"),
        Route("/networks/{digest}", lambda: f"/networks/{network().digest}"),
        Route("/devices/{uuid}", lambda: f"/devices/{device()}"),
        Route("/tables/{id}", lambda: f"/tables/{table()}"),
        Route("/tables/{id}/picture.svg", lambda: f"/tables/{table()}/picture.svg"),
        Route("/tables/{large}", lambda: f"/tables/{large[0]}?part={draw.randrange(50)}"),
        Route("/compare", lambda: "/compare"),
        Route("/compare?table", lambda: f"/compare?table={table()}"),
        Route("/compare?pair", lambda: f"/compare?{pair()}"),
        Route("/compare?large", lambda: f"/compare?table={large[0]}&table={large[1]}&allow_unlike=true"),
        Route("GET /v1/devices", lambda: "/v1/devices"),
        Route("GET /v1/devices/{uuid}", lambda: f"/v1/devices/{device()}"),
        Route("GET /v1/jobs", lambda: "/v1/jobs"),
        Route("GET /v1/jobs?state", lambda: "/v1/jobs?state=queued"),
        Route("GET /v1/jobs/{id}", lambda: f"/v1/jobs/{_uuid(draw.choice(job_ids))}"),
        Route("GET /v1/tables", lambda: "/v1/tables?limit=100"),
        Route("GET /v1/tables?device", lambda: f"/v1/tables?device={device()}"),
        Route("GET /v1/tables/newest", lambda: f"/v1/tables/newest?device={device()}&{runtime()}&space=streets"),
        Route("GET /v1/tables/{id}", lambda: f"/v1/tables/{table()}"),
        Route("GET /v1/tables/{id}?csv", lambda: f"/v1/tables/{table()}?format=csv"),
        Route("GET /v1/tables/{id}/calibration", lambda: f"/v1/tables/{table()}/calibration"),
        Route("GET /v1/calibrations", lambda: "/v1/calibrations"),
        Route("GET /v1/measurements?device", lambda: f"/v1/measurements?device={device()}"),
        Route("GET /v1/measurements?key", lambda: f"/v1/measurements?key={draw.choice(examples.operations).digest}"),
        Route("GET /v1/measurements?job", lambda: f"/v1/measurements?job_id={_uuid(draw.choice(job_ids))}"),
        Route("GET /v1/networks", lambda: "/v1/networks?limit=20"),
        Route("GET /v1/networks/{digest}", lambda: f"/v1/networks/{network().digest}"),
        Route("POST /v1/predictions", lambda: "/v1/predictions", prediction),
        Route("GET /v1/comparisons", lambda: f"/v1/comparisons?{pair()}"),
        Route("GET /openapi.json", lambda: "/openapi.json"),
        Route("GET /metrics", lambda: "/metrics"),
        Route("GET /readyz", lambda: "/readyz"),
    ]


def _uuid(value: object) -> str:
    """As raw SQL gives it: SQLite has no such type."""
    return str(value) if "-" in str(value) else str(UUID(str(value)))


def _report(url: str, token: str, number: int, stop: threading.Event) -> None:
    """An agent: jobs of twenty operations, one result after the other."""
    by = device_of(10_000 + number)
    draw = random.Random(number)
    with LutClient(url, token, cache=False) as client:
        client.register_device(by)
        for turn in range(10**6):
            specs = [
                spec.model_copy(update={"params": (*spec.params, ("turn", 2 * turn + number))})
                for spec in scene.operations()[:20]
            ]
            client.submit_job(scene.profile(specs, by))
            lease = client.claim(scene.claim(by))
            assert lease is not None
            for key in lease.remaining:
                client.put_measurement(scene.measured(draw, lease, key, by, 100.0))
                if stop.wait(1 / REPORTS_PER_S):
                    client.give_back(lease.id, lease.token)
                    return
            client.complete(lease.id, lease.token, Completion())


def _examples(client: LutClient) -> Examples:
    """One device with everything, made by requests."""
    draw = random.Random(1)
    by = device_of(9_999)
    specs = scene.operations()
    table = scene.make_table(client, draw, by, specs)
    drawn = scene.drawn(draw, specs, OWN_NETWORKS)
    job = client.submit_job(scene.measure(drawn[:NETWORKS], by))
    lease = client.claim(scene.claim(by))
    assert lease is not None
    client.put_measurements(
        [
            scene.measured(draw, lease, network.digest, by, scene.end_to_end_us(network, table, draw))
            for network in drawn[:NETWORKS]
        ]
    )
    client.complete(lease.id, lease.token, Completion())
    measured = {item.key: item for item in client.measurements(device=by.device.uuid)}
    some = measured[drawn[0].digest]
    for network in drawn[NETWORKS:]:
        measured[network.digest] = some.model_copy(update={"key": network.digest})
    profile = next(each for each in client.jobs(state="done") if each.table_id == table.id).request
    return Examples(
        operations=specs,
        networks=drawn,
        profile=profile,
        measure=job.request,
        table=table,
        calibration=client.calibration(table.id),
        measurements=measured,
    )


def _large_table(client: LutClient, uuid: str) -> str:
    """A table of as many rows as a table may have."""
    by = scene.gpu(uuid, f"Large {uuid[-1]}")
    specs = [
        spec.model_copy(update={"params": (("number", number), *spec.params)})
        for number in range(LARGE // 95 + 1)
        for spec in scene.operations()
    ][:LARGE]
    return str(scene.make_table(client, random.Random(2), by, specs).id)


def _settle(database: Database) -> None:
    """What a database does by itself in quiet hours."""
    engine = database.engine.execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        if database.engine.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.exec_driver_sql("PRAGMA optimize")
        else:
            connection.exec_driver_sql("VACUUM ANALYZE")


def _maintain(kind: str, database: Database, url: str, folder: Path) -> dict[str, Any]:
    """How long a backup takes, and a migration that alters the largest table."""
    timed: dict[str, Any] = {}
    if kind == "sqlite":
        started = time.monotonic()
        command = [sys.executable, "-m", "lut_server", "backup", str(folder / "copy.sqlite"), "--database-url", url]
        subprocess.run(command, check=True, capture_output=True)
        timed["backup_s"] = round(time.monotonic() - started, 1)
        (folder / "copy.sqlite").unlink()
    started = time.monotonic()
    with database.schema_connection() as connection:
        operations = Operations(MigrationContext.configure(connection))
        # The worst there can be: SQLite copies the table to alter it.
        with operations.batch_alter_table(MeasurementRow.__tablename__) as altered:
            altered.alter_column("late", new_column_name="was_late")
    timed["migrate_s"] = round(time.monotonic() - started, 1)
    return timed


def _rows(database: Database) -> dict[str, int]:
    with database.read() as session:
        return {
            name: session.scalar(select(func.count()).select_from(table)) or 0
            for name, table in Base.metadata.tables.items()
        }


def _bytes(database: Database, folder: Path) -> int:
    if database.engine.dialect.name == "sqlite":
        return sum(path.stat().st_size for path in folder.glob("lut.sqlite*"))
    with database.read() as session:
        return int(session.scalar(text("SELECT pg_database_size(current_database())")) or 0)


def _rss_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


def _p99(times: Sequence[float]) -> float:
    ordered = sorted(times)
    return 1000 * ordered[min(len(ordered) - 1, math.ceil(0.99 * len(ordered)) - 1)]


if __name__ == "__main__":
    main()
