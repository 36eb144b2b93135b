"""Measurements stored per second over HTTP, beside a bare executemany of the same rows into the same schema."""

import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from uuid import UUID

import uuid6
import uvloop
from pydantic import TypeAdapter
from sqlalchemy.engine import make_url

from benchmarks._common import (
    DATABASES,
    answer_length,
    finish,
    median_ratio,
    options,
    show,
)
from latency_tables.client import LutClient
from latency_tables.contract import Lease, Measurement
from lut_server.clock import utc_now
from lut_server.storage.database import Database
from lut_server.storage.measurements import to_row
from tests.support.factories import lease_request, measurement, operation, profile, report
from tests.support.processes import ENVIRONMENT, Server, make_token

BATCH = 500
SAMPLES = 24
CONNECTIONS = 4
BATCHES = 20
ROUNDS = 5
_BATCH = TypeAdapter(list[Measurement])


def main() -> None:
    rounds = max(1, round(options(__doc__ or "", 40).seconds / 40 * ROUNDS))
    rates: dict[str, list[tuple[float, float]]] = {}
    for name, url_of in DATABASES.items():
        with tempfile.TemporaryDirectory() as folder, url_of(Path(folder)) as url:
            token = make_token(url, "admin")
            server = Server(url, Path(folder), environment=ENVIRONMENT)
            server.start()
            try:
                rates[name] = _measure(url, server, token, rounds)
            finally:
                server.kill()
    show(
        f"Rows per second, batches of {BATCH} with {SAMPLES} samples each, median of {rounds} rounds",
        ["", "over HTTP, with token", "bare executemany", "ratio"],
        [
            [
                name,
                *(f"{statistics.median(column):,.0f}" for column in zip(*pairs, strict=True)),
                f"{median_ratio(pairs):.2f}",
            ]
            for name, pairs in rates.items()
        ],
    )
    finish(
        {
            "ratio_executemany": round(median_ratio(rates["sqlite"]), 3),
            "ratio_executemany_postgresql": round(median_ratio(rates["postgresql"]), 3),
        }
    )


def _measure(url: str, server: Server, token: str, rounds: int) -> list[tuple[float, float]]:
    """Rows per second (ours, bare) of each round."""
    by = report()
    with LutClient(server.url, token) as client:
        client.register_device(by)
        client.submit_job(profile(*(operation(channels + 1) for channels in range(BATCH))))
        lease = client.claim(lease_request(by))
        assert lease is not None
        database = Database(make_url(url))
        pairs = []
        for number in range(rounds):
            ours, bare = ([_batch(lease, number * 2 + which, part) for part in range(BATCHES)] for which in (0, 1))
            pairs.append((_over_http(server.url, token, ours), _executemany(database, bare)))
        database.close()
        stored = client.measurements(key=lease.remaining[0])
        assert len(stored) == rounds * 2 * BATCHES, "every row is there"
    return pairs


def _batch(lease: Lease, seed: int, part: int) -> list[Measurement]:
    draw = random.Random(f"{seed}.{part}")
    return [
        measurement(lease, key, report()).model_copy(
            update={"id": uuid6.uuid7(), "samples_us": tuple(draw.uniform(90, 110) for _ in range(SAMPLES))}
        )
        for key in lease.remaining
    ]


def _executemany(database: Database, batches: Sequence[Sequence[Measurement]]) -> float:
    """The driver's own executemany, its values ready; one transaction a batch, as over HTTP."""
    stamp = {"late": False, "received_at": utc_now()}
    sqlite = database.engine.dialect.name == "sqlite"
    columns = [*to_row(batches[0][0]), *stamp]
    values = ", ".join(["?" if sqlite else "%s"] * len(columns))
    statement = f"INSERT INTO measurements ({', '.join(columns)}) VALUES ({values})"
    rows = [[{**to_row(row), **stamp} for row in batch] for batch in batches]
    ready = [[tuple(_bound(value) if sqlite else value for value in row.values()) for row in part] for part in rows]
    started = time.perf_counter()
    for part in ready:
        with database.write_connection() as connection:
            connection.exec_driver_sql(statement, part)
    return BATCH * BATCHES / (time.perf_counter() - started)


def _bound(value: object) -> object:
    """As SQLAlchemy stores it in SQLite."""
    if isinstance(value, UUID):
        return value.hex
    return value.strftime("%Y-%m-%d %H:%M:%S.%f") if isinstance(value, datetime) else value


def _over_http(url: str, token: str, batches: Sequence[Sequence[Measurement]]) -> float:
    """Each caller waits for the receipts of a batch before it sends the next."""
    host = f"Host: 127.0.0.1\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json"
    requests = []
    for batch in batches:
        body = _BATCH.dump_json(list(batch))
        head = f"POST /v1/measurements HTTP/1.1\r\n{host}\r\nContent-Length: {len(body)}\r\n\r\n"
        requests.append(head.encode() + body)

    async def send() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rsplit(":", 1)[1]))
        while requests:
            writer.write(requests.pop())
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(answer_length(head, 200) - len(head))
        writer.close()

    async def run() -> float:
        started = time.perf_counter()
        await asyncio.gather(*(send() for _ in range(CONNECTIONS)))
        return BATCH * BATCHES / (time.perf_counter() - started)

    return uvloop.run(run())


if __name__ == "__main__":
    main()
