"""Examples in the OpenAPI document: each works as it stands on the database that the document is served for."""

import copy
import json
from collections.abc import Mapping
from typing import Any

from latency_tables.contract import DeviceReport, LeaseRequest, PredictionRequest, canonical_json
from lut_server.storage.examples import Found

Values = Mapping[str, Any]

_NEVER_USED = "01900000-0000-7000-8000-000000000000"
_ALWAYS: Values = {
    "after": "0",
    "limit": 100,
    "state": "done",
    "mode": "pytorch",
    "precision": "fp32",
    "batch_size": 1,
    "margin_rel": 0.02,
    "allow_unlike": False,
    "if-none-match": '"an older one"',
    "lease-token": "the token of your lease",
}
_OF_OPERATION: Mapping[str, Values] = {
    "list_tokens": {"after": "00000000-0000-0000-0000-000000000000"},
    "get_newest_table": {"format": "json"},
    "get_table": {"format": "csv"},
    "get_table_calibration": {"format": "html"},
    "get_calibration": {"format": "csv"},
    "compare_tables": {"format": "html", "mode": ["pytorch"]},
    **{name: {"id": _NEVER_USED} for name in ("create_token", "revoke_token", "rotate_token")},
}
_BODIES: Values = {
    "renew_lease": {"done": 12, "total": 95},
    "complete_lease": {"error": None},
    "create_token": {"name": "a laptop", "role": "read"},
    "rotate_token": {"id": "01900000-0000-7000-8000-000000000001"},
}


def with_examples(document: Mapping[str, Any], found: Found | None) -> dict[str, Any]:
    """A copy of an OpenAPI document with an example for every parameter and body that `found` has one for."""
    filled = copy.deepcopy(dict(document))
    values, bodies = (_values(found), _bodies(found)) if found else ({}, {})
    for path, operations in filled["paths"].items():
        for operation in operations.values():
            name = operation["operationId"]
            known = {**_ALWAYS, **values.get("*", {}), **_of_noun(path, values)}
            known = {**known, **_OF_OPERATION.get(name, {}), **values.get(name, {})}
            for parameter in operation.get("parameters", ()):
                if parameter["name"] in known:
                    _fill(parameter, known[parameter["name"]])
            body = bodies.get(name, _BODIES.get(name))
            if body is not None:
                operation["requestBody"]["content"]["application/json"]["example"] = body
    return filled


def _fill(parameter: dict[str, Any], value: Any) -> None:
    """One example, or several by name: the docs page fills in the first."""
    if isinstance(value, dict):
        parameter["examples"] = {name: {"value": one} for name, one in value.items()}
    else:
        parameter["example"] = value


def _of_noun(path: str, values: Mapping[str, Values]) -> Values:
    return values.get(path.removeprefix("/v1/").split("/")[0], {})


def _values(found: Found) -> dict[str, Values]:
    """Values of parameters for every operation (*), for those of a noun, and for single ones."""
    table, device = found.table, found.device.device.uuid
    runtime = table.runtime.model_dump(mode="json", exclude_none=True)
    values: dict[str, Values] = {
        "*": {"device": device, "space": table.space, "space_digest": table.space_digest, **runtime},
        "devices": {"uuid": device},
        "tables": {"id": str(table.id), "digest": found.digest},
        "compare_tables": {
            "table": [str(id) for id in found.compared],
            "device": {"none: by `table`": [], "the newest table of a device": [device]},
            "mode": [table.runtime.mode],
            "allow_unlike": found.allow_unlike,
        },
    }
    if found.calibration:
        calibration, calibrated = map(str, found.calibration)
        values["calibrations"] = {"id": calibration, "table": calibrated}
        values["get_table_calibration"] = {"id": calibrated}
    if found.job:
        values["jobs"] = {"id": str(found.job[0])}
    if found.cancelled:
        values["cancel_job"] = {"id": str(found.cancelled)}
    if found.lease:
        values["leases"] = {"id": str(found.lease)}
    if found.measurement:
        measurement = json.loads(found.measurement)
        values["measurements"] = {name: measurement[name] for name in ("id", "key", "device", "job_id")}
    if found.network:
        values["networks"] = {"digest": found.network[0]}
    return values


def _bodies(found: Found) -> dict[str, Any]:
    """Bodies that change nothing: what they say is stored already."""
    table, record = found.table, found.device
    report = DeviceReport(device=record.device, environment=record.environment, agent=record.agent)
    bodies = {"register_device": _wire(report), "import_table": _wire(table)}
    if not found.queued:  # else somebody would get work that only looked
        request = LeaseRequest.model_validate(
            {
                "id": _NEVER_USED,
                "device": record.device.uuid,
                "environment": record.environment.digest,
                "method_version": table.method_version,
                "wait_s": 0,
            }
        )
        bodies["claim_lease"] = _wire(request)
    if found.job:
        bodies["submit_job"] = json.loads(found.job[1])
    if found.measurement:
        bodies["put_measurement"] = json.loads(found.measurement)
        bodies["put_measurements"] = [json.loads(found.measurement)]
    if found.network:
        network = json.loads(found.network[1])
        bodies["put_network"] = network
        device, runtime = found.prediction or (record.device.uuid, table.runtime)
        asked = PredictionRequest.model_validate({"networks": [network], "device": device, "runtime": runtime})
        bodies["predict"] = _wire(asked)
    return bodies


def _wire(body: Any) -> Any:
    return json.loads(canonical_json(body.model_dump(mode="json")))
