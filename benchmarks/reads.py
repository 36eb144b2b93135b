"""Reads of a 100-row table with a token, and of an unchanged one, beside bare routes that give the same bytes."""

import statistics
import tempfile
from pathlib import Path

import httpx

from benchmarks._common import (
    bare,
    build_table,
    finish,
    median_ratio,
    options,
    per_second,
    request,
    show,
)
from latency_tables.client import LutClient
from tests.support.processes import ENVIRONMENT, Server, make_token

ROUNDS = 5
KINDS = {"table": 200, "unchanged": 304}


def main() -> None:
    seconds = options(__doc__ or "", 40).seconds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        url = f"sqlite:///{folder / 'lut.sqlite'}"
        token = make_token(url, "admin")
        server = Server(url, folder, environment=ENVIRONMENT)
        server.start()
        try:
            _measure(server, token, folder, seconds)
        finally:
            server.kill()


def _measure(server: Server, token: str, folder: Path, seconds: float) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    with LutClient(server.url, token) as client:
        table = f"/v1/tables/{build_table(client).id}"
    answer = httpx.get(f"{server.url}{table}", headers=headers, trust_env=False)
    body = folder / "body"
    body.write_bytes(answer.content)
    unchanged = {**headers, "If-None-Match": answer.headers["etag"]}
    environment = {"BARE_BODY": str(body)}
    with (
        bare("benchmarks._bare:fast", environment, folder) as fast,
        bare("benchmarks._bare:starlette", environment, folder) as starlette,
    ):
        ours = int(server.url.rsplit(":", 1)[1])
        requests = {
            ("ours", "table"): (ours, request(table, headers)),
            ("ours", "unchanged"): (ours, request(table, unchanged)),
            ("fastapi", "table"): (fast, request("/table", headers)),
            ("fastapi", "unchanged"): (fast, request("/unchanged", unchanged)),
            ("starlette", "table"): (starlette, request("/table", headers)),
            ("starlette", "unchanged"): (starlette, request("/unchanged", unchanged)),
        }
        reading_s = seconds / ROUNDS / len(requests)
        rounds = [
            {key: per_second(port, message, KINDS[key[1]], reading_s) for key, (port, message) in requests.items()}
            for _ in range(ROUNDS)
        ]
    ratios = {
        (other, kind): median_ratio([(rates["ours", kind], rates[other, kind]) for rates in rounds])
        for other in ("fastapi", "starlette")
        for kind in KINDS
    }
    show(
        f"Requests per second of one worker, {len(answer.content) / 1000:.0f} kB, median of {ROUNDS} rounds",
        ["", "with token", "bare FastAPI", "ratio", "bare Starlette", "ratio"],
        [
            [
                kind,
                *(
                    cell
                    for which in ("ours", "fastapi", "starlette")
                    for cell in (
                        f"{statistics.median(rates[which, kind] for rates in rounds):,.0f}",
                        *([f"{ratios[which, kind]:.2f}"] if which != "ours" else []),
                    )
                ),
            ]
            for kind in KINDS
        ],
    )
    finish(
        {
            "ratio_fastapi": round(ratios["fastapi", "table"], 3),
            "ratio_304": round(ratios["fastapi", "unchanged"], 3),
            "ratio_starlette": round(ratios["starlette", "table"], 3),
            "ratio_304_starlette": round(ratios["starlette", "unchanged"], 3),
        }
    )


if __name__ == "__main__":
    main()
