"""Genotypes survive JSON, and say what is wrong with those that do not."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from latency_tables.contract import canonical_json
from lgcnet_search.space.candidates import CANDIDATES, LARGE
from lgcnet_search.space.genotype import (
    Genotype,
    GenotypeError,
    described_genotype,
    random_genotype,
    typical_genotype,
)
from lgcnet_search.space.space import Space
from tests.support.tiny_spaces import TINY


@pytest.mark.parametrize("seed", range(3))
def test_json_round_trip_is_the_identity(seed: int) -> None:
    genotype = random_genotype(TINY, seed)
    assert Genotype.from_json(genotype.to_json()) == genotype
    assert Genotype.from_json(json.dumps(genotype.to_dict(), indent=2)) == genotype
    assert canonical_json(json.loads(genotype.to_json())) == genotype.to_json()
    assert Genotype.of(TINY, genotype.choices) == genotype


def test_seeds_repeat_and_differ() -> None:
    assert random_genotype(TINY, 1) == random_genotype(TINY, 1)
    assert random_genotype(TINY, 1) != random_genotype(TINY, 2)
    assert typical_genotype(TINY, 1) != typical_genotype(TINY, 2)


def test_typical_genotypes_are_light_in_front() -> None:
    genotypes = [typical_genotype(TINY, seed) for seed in range(200)]
    front, back = (
        [CANDIDATES[name].kind.light for genotype in genotypes for cell in genotype.cells[cells] for name in cell]
        for cells in (slice(0, 8), slice(8, 14))
    )
    assert sum(front) / len(front) == pytest.approx(0.6, abs=0.02)
    assert sum(back) / len(back) == pytest.approx(0.2, abs=0.02)


def test_choices_move_to_another_space() -> None:
    genotype = random_genotype(TINY, 0)
    assert genotype.at(Space()).choices == genotype.choices


def break_edge(value: dict[str, Any]) -> None:
    value["cells"][3][2] = "conv_7x7"


def break_up_edge(value: dict[str, Any]) -> None:
    value["fusion"][2] = "conv_1x1"


def break_type(value: dict[str, Any]) -> None:
    value["cells"][1][0] = 4


def drop_cell(value: dict[str, Any]) -> None:
    value["cells"].pop()


def drop_edge(value: dict[str, Any]) -> None:
    value["cells"][5].pop()


def drop_fusion(value: dict[str, Any]) -> None:
    del value["fusion"]


def add_field(value: dict[str, Any]) -> None:
    value["alpha"] = 1


def break_space(value: dict[str, Any]) -> None:
    value["space"]["height"] = -1


def break_list(value: dict[str, Any]) -> None:
    value["space"]["fused"] = 7


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (break_edge, r"cell3\.i1-x2: 'conv_7x7' is not a candidate; it may be max_pool_3x3, skip"),
        (break_up_edge, r"fusion\.h_in-m_mid: 'conv_1x1' is not a candidate; it may be deconv_3x3, interpolate"),
        (break_type, r"cells\[1\]\[0\]: a candidate's name is expected, not 4"),
        (drop_cell, "cells: 13 listed, the space has 14"),
        (drop_edge, r"cells\[5\]: 4 edges listed, a cell has 5"),
        (drop_fusion, "fusion missing"),
        (add_field, "unknown alpha; known are cells, fusion, space"),
        (break_space, r"space\.height: -1"),
        (break_list, r"space\.fused: a list is expected, not 7"),
    ],
)
def test_damage_is_named(damage: Callable[[dict[str, Any]], None], message: str) -> None:
    value = json.loads(random_genotype(TINY, 0).to_json())
    damage(value)
    with pytest.raises(GenotypeError, match=message):
        Genotype.from_json(json.dumps(value))


@pytest.mark.parametrize(
    "text", ["", "{", "null", "[1, 2]", '{"cells": [], "fusion": [], "space": {}}', "NaN", "[" * 20_000]
)
def test_what_is_no_genotype_is_refused(text: str) -> None:
    with pytest.raises(GenotypeError):
        Genotype.from_json(text)


def test_every_edge_has_to_be_given() -> None:
    with pytest.raises(GenotypeError, match=r"cell0\.i1-x1"):
        Genotype.of(TINY, {})


def test_a_described_genotype_has_the_papers_numbers_of_light_and_large_operations() -> None:
    for seed in range(5):
        choices = described_genotype(Space(), seed).choices
        kinds = {edge.name: CANDIDATES[choices[edge.name]].kind for edge in Space().cell_edges}
        assert sum(kind.light for kind in kinds.values()) == 30
        assert sum(kind is LARGE for name, kind in kinds.items() if int(name[4:].split(".")[0]) >= 10) == 11
    assert described_genotype(Space(), 0) != described_genotype(Space(), 1)
    with pytest.raises(ValueError, match="cells: 12, the paper describes a network of 14"):
        described_genotype(Space(cells=12, fused=(0, 7, 11)), 0)
