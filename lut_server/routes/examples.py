"""Examples in the OpenAPI document: each works unchanged on the database of the server that answers."""

import copy
import json
from collections.abc import Mapping
from typing import Any

from latency_tables.contract import (
    DeviceReport,
    ExpectationRequest,
    LeaseRequest,
    PredictionRequest,
    ProposalRequest,
    TransferRequest,
    canonical_json,
)
from lut_server.storage.examples import Examples

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
    "requested-by": "anna@laptop",
    "hidden": False,
}
_OF_OPERATION: Mapping[str, Values] = {
    "list_tokens": {"after": "00000000-0000-0000-0000-000000000000"},
    "get_newest_table": {"format": "json"},
    "get_table": {"format": "csv"},
    "get_table_calibration": {"format": "html"},
    "get_calibration": {"format": "csv"},
    "get_transfer": {"format": "json"},
    "compare_tables": {"format": "html", "mode": ["pytorch"]},
    "name_network": {"digest": "0" * 64},
    **{name: {"id": _NEVER_USED} for name in ("create_token", "revoke_token", "rotate_token")},
}
_BODIES: Values = {
    "renew_lease": {"done": 12, "total": 95},
    "complete_lease": {"error": None},
    "create_token": {"name": "a laptop", "role": "read"},
    "set_device_visibility": {"hidden": False},
    "name_network": {"name": "found for the TITAN"},
    "rotate_token": {"id": "01900000-0000-7000-8000-000000000001"},
}
_NEEDS_A_SOURCE = (
    "Nothing has been calibrated here yet that it could learn from: until a job has measured networks on a device with "
    "a table, this answers 422."
)
_NO_TRANSFER = "There is no transfer here yet: PUT /v1/transfers/{id} makes one, and until then this answers 404."
_NO_TRANSFER_MADE = (
    "None has been made here yet. It takes three networks measured on the device, and a calibrated table of another "
    "device or runtime or a publication: without them this answers 422."
)
_NO_PUBLICATION = "There is no publication here yet: `lut-server publish` stores them, and until then this answers 404."


def with_examples(document: Mapping[str, Any], rows: Examples | None) -> dict[str, Any]:
    """A copy of an OpenAPI document with an example for every parameter and body that `rows` have one for.

    An operation that has nothing to work on in this database says so.
    """
    filled = {**document, "paths": copy.deepcopy(document["paths"])}  # schemas, which are most of it, stay as they are
    values, bodies = (_values(rows), _bodies(rows)) if rows else ({}, {})
    notes = _notes(rows) if rows else {}
    for path, operations in filled["paths"].items():
        for operation in operations.values():
            name = operation["operationId"]
            if name in notes:
                operation["description"] = f"{operation.get('description', '')}\n\n{notes[name]}".strip()
            examples = {**_ALWAYS, **values.get("*", {}), **_of_noun(path, values)}
            examples = {**examples, **_OF_OPERATION.get(name, {}), **values.get(name, {})}
            for parameter in operation.get("parameters", ()):
                if parameter["name"] in examples:
                    _fill(parameter, examples[parameter["name"]])
            body = bodies.get(name, _BODIES.get(name))
            if body is not None:
                operation["requestBody"]["content"]["application/json"]["example"] = body
    return filled


def _fill(parameter: dict[str, Any], value: Any) -> None:
    """One example, or several by name: the docs page fills in the first."""
    if isinstance(value, dict):
        parameter["examples"] = {name: {"value": example} for name, example in value.items()}
    else:
        parameter["example"] = value


def _of_noun(path: str, values: Mapping[str, Values]) -> Values:
    return values.get(path.removeprefix("/v1/").split("/")[0], {})


def _values(rows: Examples) -> dict[str, Values]:
    """Values of parameters for every operation (*), for those of a noun, and for single ones."""
    table, device = rows.table, rows.device.device.uuid
    runtime = table.runtime.model_dump(mode="json", exclude_none=True)
    values: dict[str, Values] = {
        "*": {"device": device, "space": table.space, "space_digest": table.space_digest, **runtime},
        "devices": {"uuid": device},
        "tables": {"id": str(table.id), "digest": rows.digest},
        "compare_tables": {
            "table": [str(id) for id in rows.compared],
            "operation": {"all operations": [], "those of a name": [table.rows[0].operation.name]},
            "device": {"none: by `table`": [], "the newest table of a device": [device]},
            "mode": [table.runtime.mode],
            "allow_unlike": rows.allow_unlike,
        },
    }
    values["make_transfer"] = {"id": _NEVER_USED}
    if rows.transfer:
        values["make_transfer"] = {}
        values["transfers"] = {
            "id": str(rows.transfer.id),
            "device": rows.transfer.device.uuid,
            "space": rows.transfer.space,
            "space_digest": rows.transfer.space_digest,
            "threads": {"none: a GPU": []},
            **rows.transfer.runtime.model_dump(mode="json", exclude_none=True),
        }
    if rows.publication:
        values["publications"] = {"id": str(rows.publication)}
    if rows.calibration:
        calibration, calibrated = map(str, rows.calibration)
        values["calibrations"] = {"id": calibration, "table": calibrated}
        values["get_table_calibration"] = {"id": calibrated}
    if rows.job:
        values["jobs"] = {"id": str(rows.job[0])}
    if rows.cancelled:
        values["cancel_job"] = {"id": str(rows.cancelled)}
    if rows.lease:
        values["leases"] = {"id": str(rows.lease)}
    if rows.measurement:
        measurement = json.loads(rows.measurement)
        values["measurements"] = {name: measurement[name] for name in ("id", "key", "device", "job_id")}
    if rows.network:
        values["networks"] = {"digest": rows.network[0]}
    return values


def _bodies(rows: Examples) -> dict[str, Any]:
    """Bodies that change nothing: their content is stored already."""
    table, record = rows.table, rows.device
    report = DeviceReport(device=record.device, environment=record.environment, agent=record.agent)
    bodies = {"register_device": _wire(report), "import_table": _wire(table)}
    if not rows.queued:  # otherwise a reader of the docs page would be given a job
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
    if rows.job:
        bodies["submit_job"] = bodies["forecast_job"] = json.loads(rows.job[1])
    if rows.measurement:
        bodies["put_measurement"] = json.loads(rows.measurement)
        bodies["put_measurements"] = [json.loads(rows.measurement)]
    if rows.network:
        network = json.loads(rows.network[1])
        bodies["put_network"] = network
        device, runtime = rows.prediction or (record.device.uuid, table.runtime)
        prediction = PredictionRequest.model_validate({"networks": [network], "device": device, "runtime": runtime})
        bodies["predict"] = _wire(prediction)
        paths = [
            {"label": "exit 1", "network": network, "rate": 0.75},
            {"label": "exit 2", "network": network, "rate": 0.25},
        ]
        expectation = ExpectationRequest.model_validate({"paths": paths, "device": device, "runtime": runtime})
        bodies["expect"] = _wire(expectation)
        definition = {"space": network["space"], "space_digest": network["space_digest"]}
        bodies["make_transfer"] = _wire(TransferRequest(device=device, runtime=runtime, **definition))
    if rows.proposal:
        proposed, device, runtime = rows.proposal
        bodies["propose_networks"] = _wire(
            ProposalRequest.model_validate({"networks": [proposed], "device": device, "runtime": runtime})
        )
    if rows.transfer:
        conditions = rows.transfer.model_dump(include={"runtime", "space", "space_digest"})
        bodies["make_transfer"] = _wire(TransferRequest(device=rows.transfer.device.uuid, **conditions))
    return bodies


def _notes(rows: Examples) -> dict[str, str]:
    """What operations say that find nothing in this database, by operation."""
    notes = {}
    if not rows.transfer:
        notes["get_transfer"] = notes["get_newest_transfer"] = _NO_TRANSFER
        notes["make_transfer"] = _NO_TRANSFER_MADE
    if not rows.publication:
        notes["get_publication"] = _NO_PUBLICATION
    if not rows.proposal:
        notes["propose_networks"] = _NEEDS_A_SOURCE
    return notes


def _wire(body: Any) -> Any:
    return json.loads(canonical_json(body.model_dump(mode="json")))
