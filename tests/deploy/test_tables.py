"""The tables of other machines that come with the project."""

import re
from itertools import combinations
from pathlib import Path

from starlette.testclient import TestClient

from deploy.loop import OTHERS, import_others
from latency_tables.calibration import MIN_NETWORKS
from latency_tables.contract import LatencyTable
from lgcnet_search.space.space import Space
from lut_server.app import create_app
from lut_server.storage.database import Database


def test_they_are_whole_calibrated_and_can_be_compared(tmp_path: Path) -> None:
    import_others(tmp_path)
    import_others(tmp_path)
    with TestClient(create_app(Database(f"sqlite:///{tmp_path / 'lut.sqlite'}"))) as http:
        tables = http.get("/v1/tables").json()["items"]
        assert len(tables) == len([path for path in OTHERS.glob("*.json") if "calibration" not in path.name]) >= 3
        for table in tables:
            stored = LatencyTable.model_validate_json(http.get(f"/v1/tables/{table['id']}").content)
            stored.require(Space().operations)
            card = http.get(f"/v1/tables/{table['id']}/calibration").json()["card"]
            assert card["networks"] > MIN_NETWORKS
            page = http.get(f"/tables/{table['id']}")
            assert page.status_code == 200
            assert table["device_name"] in page.text
        for first, second in combinations(tables, 2):
            page = http.get("/compare", params={"table": [first["id"], second["id"]], "allow_unlike": True})
            assert page.status_code == 200
            assert re.search("faster|slower|same", page.text)
