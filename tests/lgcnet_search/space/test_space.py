"""The layout against the paper's figures and the table of shapes in the design."""

from collections import Counter

import pytest

from lgcnet_search.space.genotype import typical_genotype
from lgcnet_search.space.graph import Edge, Step
from lgcnet_search.space.network import count_parameters
from lgcnet_search.space.space import Space

# cell: output height × width, C, channels and operation of preprocess i1, then i2
CELLS = {
    0: ((193, 385), 32, ("conv_1x1", 32, (193, 385)), ("conv_1x1", 32, (193, 385))),
    1: ((97, 193), 64, ("conv_1x1", 32, (193, 385)), ("conv_1x1", 64, (193, 385))),
    2: ((97, 193), 64, ("factorized_reduction", 64, (193, 385)), ("conv_1x1", 128, (97, 193))),
    **dict.fromkeys(range(3, 8), ((97, 193), 64, ("conv_1x1", 128, (97, 193)), ("conv_1x1", 128, (97, 193)))),
    8: ((49, 97), 128, ("conv_1x1", 128, (97, 193)), ("conv_1x1", 128, (97, 193))),
    9: ((49, 97), 128, ("factorized_reduction", 128, (97, 193)), ("conv_1x1", 256, (49, 97))),
    **dict.fromkeys(range(10, 14), ((49, 97), 128, ("conv_1x1", 256, (49, 97)), ("conv_1x1", 256, (49, 97)))),
}


@pytest.fixture(scope="module")
def space() -> Space:
    return Space()


def steps_of(space: Space) -> dict[str, Step]:
    return {part.name: part for part in space.graph.parts if isinstance(part, Step)}


@pytest.mark.parametrize("cell", CELLS)
def test_cell_shapes(space: Space, cell: int) -> None:
    (height, width), channels, *preprocess = CELLS[cell]
    steps = steps_of(space)
    for name, (operation, source_channels, size) in zip(("pre1", "pre2"), preprocess, strict=True):
        spec = steps[f"cell{cell}.{name}"].operation
        assert spec.name == operation
        assert spec.input_shapes == ((source_channels, *size),)
        assert dict(spec.params)["out_channels"] == channels
    assert steps[f"cell{cell}.out"].operation.input_shapes == ((channels, height, width),) * 2


def test_stem_halves_twice(space: Space) -> None:
    stem = [(step.operation.input_shapes[0], dict(step.operation.params)) for step in space.graph.parts[:3]]  # type: ignore[union-attr]
    assert stem == [
        ((3, 769, 1537), {"out_channels": 16, "stride": 2}),
        ((16, 385, 769), {"out_channels": 32, "stride": 2}),
        ((32, 193, 385), {"out_channels": 32, "stride": 1}),
    ]


def test_counts(space: Space) -> None:
    assert len(space.cell_edges) == 70
    assert Counter(edge.name.partition(".")[0] for edge in space.cell_edges) == {f"cell{k}": 5 for k in range(14)}
    assert all(len(edge.candidates) == 8 for edge in space.cell_edges)
    assert len(space.fusion_edges) == 6
    assert all(len(edge.candidates) == 10 for edge in space.fusion_edges)
    assert len(space.up_edges) == 7
    assert all(len(edge.candidates) == 2 for edge in space.up_edges)


def test_fusion_cell_has_nine_nodes_joined_densely(space: Space) -> None:
    """Fig. 5: in, mid and final of three branches; the inputs are cells 0, 7 and 13."""
    steps = steps_of(space)
    inputs = {branch: steps[f"fusion.{branch}_in"] for branch in "lmh"}
    assert [step.inputs for step in inputs.values()] == [("cell0.out",), ("cell7.out",), ("cell13.out",)]
    assert all(dict(step.operation.params)["out_channels"] == 48 for step in inputs.values())
    joined = {name: steps[f"fusion.{name}.concat"].inputs for name in ("m_mid", "l_mid", "m_final", "l_final")}
    assert joined == {
        "m_mid": ("fusion.m_in-m_mid", "fusion.h_in-m_mid"),
        "l_mid": ("fusion.l_in-l_mid", "fusion.m_in-l_mid"),
        "m_final": ("fusion.m_mid-m_final", "fusion.h_mid-m_final"),
        "l_final": ("fusion.l_mid-l_final", "fusion.m_mid-l_final"),
    }
    sources = {edge.name: edge.source for edge in (*space.fusion_edges, *space.up_edges)}
    assert sources["fusion.h_mid-h_final"] == "fusion.h_in-h_mid"
    assert sources["fusion.m_final-sum"] == "fusion.m_final.reduce"
    assert sources["fusion.h_up-sum"] == "fusion.h_final-h_up"
    nodes = {part.name: part for part in space.graph.parts if not isinstance(part, (Step, Edge))}
    assert nodes["fusion.sum"].inputs == ("fusion.l_final.reduce", "fusion.m_final-sum", "fusion.h_up-sum")


@pytest.mark.parametrize("cell", [1, 8])
def test_reduction_cells_stride_the_edges_from_their_inputs(space: Space, cell: int) -> None:
    for edge in space.cell_edges[5 * cell : 5 * cell + 5]:
        convolution = edge.candidates["conv_3x3"]
        assert convolution is not None
        from_input = edge.source.endswith((".pre1", ".pre2"))
        assert dict(convolution.params)["stride"] == (2 if from_input else 1), edge.name
        skip = edge.candidates["skip"]
        assert (skip.name if skip else None) == ("factorized_reduction" if from_input else None)


def test_keys_are_unique_and_near_a_hundred(space: Space) -> None:
    digests = [operation.digest for operation in space.operations]
    assert len(set(digests)) == len(digests)
    assert 85 <= len(digests) <= 115


def test_keys_hold_size_and_classes() -> None:
    assert set(Space(height=385, width=769).operations).isdisjoint(Space(height=257, width=513).operations)
    assert set(Space(classes=11).operations) ^ set(Space().operations) == {
        operation
        for space in (Space(), Space(classes=11))
        for operation in space.operations
        if operation.name == "classifier" or operation.input_shapes[0][0] == space.classes
    }


def test_networks_like_the_found_one_have_two_million_parameters(space: Space) -> None:
    """The paper's has 2.09 M."""
    counts = [count_parameters(space.graph.derive(typical_genotype(space, seed).choices)) for seed in range(200)]
    assert 1.5e6 < sum(counts) / len(counts) < 2.4e6


@pytest.mark.parametrize("fused", [(0, 5, 13), (0, 6, 13), (0, 7, 10), (0, 7, 11), (0, 7, 12)])
def test_other_cells_can_be_fused(fused: tuple[int, int, int]) -> None:
    """Table XI."""
    steps = steps_of(Space(fused=fused))
    assert [steps[f"fusion.{branch}_in"].inputs for branch in "lmh"] == [(f"cell{cell}.out",) for cell in fused]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"height": 0}, "height: 0"),
        ({"channels": 1.5}, "channels: 1.5"),
        ({"classes": True}, "classes: True"),
        ({"reductions": (8, 1)}, "reductions: "),
        ({"reductions": (1, 20)}, "reductions: "),
        ({"fused": (0, 1, 2)}, "fused: "),
        ({"fused": (0, 7)}, "fused: "),
    ],
)
def test_impossible_spaces_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Space(**fields)  # type: ignore[arg-type]
