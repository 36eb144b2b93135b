"""What a search leaves in its folder: the genotype, and where it came from."""

import json
from dataclasses import asdict
from pathlib import Path

from lgcnet_search.digest import space_digest
from lgcnet_search.search import SearchResult
from lut_server.schemas import LatencyTable


def write_result(result: SearchResult, table: LatencyTable, out: Path) -> Path:
    """Write genotype.json, whose path is returned, and history.json: device, table, settings and every step."""
    out.mkdir(parents=True, exist_ok=True)
    genotype = out / "genotype.json"
    genotype.write_text(json.dumps(result.genotype.to_dict(), indent=1) + "\n", "utf-8")
    origin = {
        "device": table.device.name,
        "runtime": table.runtime.model_dump(mode="json"),
        "table_id": str(table.id),
        "table_digest": result.table_digest,
        "space_digest": space_digest(),
        "predicted_us": result.predicted_us,
        "settings": asdict(result.settings),
        "proxy": asdict(result.proxy),
        "history": [asdict(record) for record in result.history],
    }
    (out / "history.json").write_text(json.dumps(origin, indent=1) + "\n", "utf-8")
    return genotype
