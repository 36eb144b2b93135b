import json
import math

import pytest
import uuid6
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from latency_tables.contract import (
    Device,
    JobRequest,
    LatencyTable,
    NetworkSpec,
    OperationSpec,
    Requirement,
    Runtime,
    canonical_json,
)
from tests.support.factories import network, operation, profile, report, table
from tests.support.lut import Lut

controls = "".join(map(chr, (*range(0x7F, 0xA0), 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A))))
plain = st.characters(codec="utf-8", min_codepoint=0x20, exclude_characters=f"{controls}<>\"'`;\\")
scalars = st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e300, 1e300) | st.text(plain, max_size=10)
names = st.from_regex(r"\A[a-z0-9][a-z0-9_.-]{0,10}\Z")
shapes = st.lists(st.integers(1, 4096), min_size=1, max_size=4).map(tuple)
specs = st.builds(
    OperationSpec,
    space=names,
    space_digest=st.just("0" * 64),
    name=names,
    input_shapes=st.lists(shapes, min_size=1, max_size=3).map(tuple),
    params=st.dictionaries(st.text(plain, min_size=1, max_size=5), scalars, max_size=4),
)
words = st.text(st.characters(codec="utf-8"), max_size=3)
genotypes = st.recursive(
    st.none() | scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3)
)
samples = st.lists(st.floats(1e-3, 1e9), min_size=1, max_size=100)


@given(specs)
def test_an_operation_survives_the_wire_with_its_digest(spec: OperationSpec) -> None:
    wire = spec.model_dump_json()
    again = OperationSpec.model_validate_json(wire)
    assert again == spec
    assert again.digest == spec.digest
    assert hash(again) == hash(spec)
    assert OperationSpec.model_validate(json.loads(canonical_json(json.loads(wire)))).digest == spec.digest


@given(genotypes, st.lists(specs, min_size=1, max_size=3, unique=True))
def test_a_network_does_not_depend_on_the_order_in_which_it_was_given(
    genotype: object, operations: list[OperationSpec]
) -> None:
    counts = {operation: index + 1 for index, operation in enumerate(operations)}
    spec = NetworkSpec.of("small", "0" * 64, genotype, (3, 8, 8), counts)
    other = NetworkSpec.of("small", "0" * 64, genotype, (3, 8, 8), dict(reversed(counts.items())))
    assert spec.digest == other.digest
    assert NetworkSpec.model_validate_json(spec.model_dump_json()) == spec


@given(samples)
def test_a_table_survives_the_wire_with_its_digest(samples_us: list[float]) -> None:
    before = table(operation(), samples_us=samples_us)
    after = LatencyTable.model_validate_json(before.model_dump_json())
    assert after == before
    assert after.digest == before.digest
    later = before.model_copy(update={"id": uuid6.uuid7()})
    assert LatencyTable.model_validate(later.model_dump(mode="json")).digest == before.digest


def test_digests_are_the_same_in_every_version_of_this_project() -> None:
    """Stored keys depend on them: a change here needs a migration of every database."""
    spec = OperationSpec(
        space="small", space_digest="0" * 64, name="conv", input_shapes=((8, 4, 4),), params=(("k", 3), ("bias", True))
    )
    assert canonical_json(spec.model_dump(mode="json")) == (
        '{"input_shapes":[[8,4,4]],"name":"conv","params":{"bias":true,"k":3},"space":"small",'
        f'"space_digest":"{"0" * 64}"}}'
    )
    assert spec.digest == "ab1bd2076ea499c9a85eeeebc767fa16e33cd4d599a0ae4f0b97d8c9125dda14"
    reordered = OperationSpec.model_validate_json(
        '{"params":{"k":3,"bias":true},"name":"conv","input_shapes":[[8,4,4]],'
        f'"space_digest":"{"0" * 64}","space":"small"}}'
    )
    assert reordered.digest == spec.digest
    digests = {
        Runtime(): "76f0b69d5c15977bccc97f6591575f3ad64495a5c6fc6be14511b326ab677b92",
        report().environment: "c5835aaa943ba207bbe09e6093c7b661b3c82d00ca830bb3d1e24d80c933e6b2",
        network(operation(8), operation(16)): "068ee3d7725f542f8223d9b640163412d0dbce554a369682295a412c2eaee723",
        profile(operation(8)): "75bf4f15e8993339891935912036d7ec725c12d6571a9fb0d970bdefd066c18b",
        table(operation(8), samples_us=range(1, 100)): (
            "9ad8c202beeb2c592f259be845936b4bb048346278e428be695d2dc131b32066"
        ),
    }
    assert {item: item.digest for item in digests} == digests


def test_a_scalar_keeps_its_type() -> None:
    digests = {
        OperationSpec.model_validate({**operation().model_dump(), "params": {"k": value}}).digest
        for value in (1, 1.5, True, "1")
    }
    assert len(digests) == 4


@pytest.mark.parametrize(
    "change",
    [
        {"input_shapes": []},
        {"input_shapes": [[0]]},
        {"name": "Conv 3×3"},
        {"space_digest": "abc"},
        {"params": {"k": math.nan}},
        {"params": {"k": [1]}},
        {"unknown": 1},
    ],
)
def test_malformed_operations_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        OperationSpec.model_validate({**operation().model_dump(mode="json"), **change})


def test_malformed_networks_are_refused() -> None:
    wire = network(operation(8), operation(16)).model_dump(mode="json")
    for change, message in (
        ({"genotype": "{not json"}, "not JSON"),
        ({"genotype": '{"b": 1}'}, "canonical"),
        ({"genotype": "[" * 33 + "]" * 33}, "deeper than 32 levels; make it flatter"),
        ({"genotype": '{"a":' * 952 + "1" + "}" * 952}, "deeper than 32 levels"),
        ({"genotype": "[" * 50_000 + "]" * 50_000}, "deeper than 32 levels"),
        ({"operations": wire["operations"][::-1]}, "sorted by digest"),
        ({"operations": []}, "at least 1"),
    ):
        with pytest.raises(ValidationError, match=message):
            NetworkSpec.model_validate({**wire, **change})


def test_a_genotype_may_nest_32_levels_deep() -> None:
    genotype: object = 1
    for _ in range(32):
        genotype = [genotype]
    spec = NetworkSpec.of("small", operation().space_digest, genotype, (3, 8, 8), {operation(): 1})
    assert spec.genotype == "[" * 32 + "1" + "]" * 32
    for _ in range(2000):
        genotype = {"a": genotype}
    with pytest.raises(ValueError, match="deeper than 32 levels; make it flatter"):
        NetworkSpec.of("small", operation().space_digest, genotype, (3, 8, 8), {operation(): 1})


@pytest.mark.parametrize("levels", [33, 952, 20_000])
def test_a_server_refuses_a_genotype_that_nests_too_deep(lut: Lut, levels: int) -> None:
    body = {**network(operation()).model_dump(mode="json"), "genotype": "[" * levels + "]" * levels}
    answer = lut.http.put(f"/v1/networks/{'0' * 64}", json=body)
    assert answer.status_code == 422
    assert "deeper than 32 levels" in answer.text


def test_a_job_is_of_one_space_and_of_one_kind() -> None:
    wire = profile(operation(8)).model_dump(mode="json")
    for change, message in (
        ({"operations": []}, "either operations"),
        ({"networks": [network(operation(8)).model_dump(mode="json")]}, "either operations"),
        ({"operations": wire["operations"] * 2}, "repeated"),
        ({"space": "other"}, "not of space"),
    ):
        with pytest.raises(ValidationError, match=message):
            JobRequest.model_validate({**wire, **change})


def test_frozen() -> None:
    device: Device = report().device
    with pytest.raises(ValidationError, match="frozen"):
        device.name = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    "requirement",
    [
        "ofa>=1.0,<2",
        "ofa[search]==1.2",
        "ofa @ git+https://github.com/mit-han-lab/once-for-all@v1.2#subdirectory=spaces/ofa",
        "ofa @ git+ssh://git@github.com/lab/ofa",
        "ofa @ https://host:8443/ofa-1.0-py3-none-any.whl",
        "ofa @ file:///srv/spaces/ofa",
    ],
)
def test_a_requirement_is_what_pip_takes(requirement: str) -> None:
    assert TypeAdapter(Requirement).validate_python(requirement) == requirement


@pytest.mark.parametrize(
    "requirement",
    [
        "ofa; rm -rf /",
        "ofa @ git+https://me:SECRET@host/x",
        "ofa @ http://host/x",
        "ofa @ https://h/$(x)",
        "o @ https://h/x' y",
    ],
)
def test_a_requirement_has_no_credentials_and_nothing_that_a_shell_reads(requirement: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Requirement).validate_python(requirement)
