"""A genotype: which candidate each of the 83 edges is, and the space it belongs to."""

import json
import random
from collections.abc import Mapping, Set
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import chain
from pathlib import Path
from typing import Any

from latency_tables.contract import canonical_json
from lgcnet_search.errors import Refused
from lgcnet_search.space.candidates import CANDIDATES, LARGE, candidates_of
from lgcnet_search.space.graph import Edge
from lgcnet_search.space.space import EDGES_PER_CELL, Space


class GenotypeError(Refused, ValueError):
    """A genotype that names no network of its space; the message names the edge or field, the value, the way out."""


@dataclass(frozen=True)
class Genotype:
    """Candidate names: five for each cell, then those of the fusion cell, in the order of `space.graph.edges`."""

    cells: tuple[tuple[str, ...], ...]
    fusion: tuple[str, ...]
    space: Space = field(default_factory=Space)

    def __post_init__(self) -> None:
        cell_edges, fusion_edges = _edges(self.space)
        if len(self.cells) != self.space.cells:
            raise GenotypeError(f"cells: {len(self.cells)} listed, the space has {self.space.cells}")
        for index, names in enumerate(self.cells):
            if len(names) != EDGES_PER_CELL:
                raise GenotypeError(f"cells[{index}]: {len(names)} edges listed, a cell has {EDGES_PER_CELL}")
        if len(self.fusion) != len(fusion_edges):
            raise GenotypeError(f"fusion: {len(self.fusion)} edges listed, the fusion cell has {len(fusion_edges)}")
        for edge, name in zip(cell_edges + fusion_edges, self._names, strict=True):
            if name not in edge.names:
                raise GenotypeError(f"{edge.name}: {name!r} is not a candidate; it may be {', '.join(edge.names)}")

    @property
    def choices(self) -> dict[str, str]:
        """Edge name → candidate name."""
        cell_edges, fusion_edges = _edges(self.space)
        return {edge.name: name for edge, name in zip(cell_edges + fusion_edges, self._names, strict=True)}

    @property
    def _names(self) -> list[str]:
        return [*chain.from_iterable(self.cells), *self.fusion]

    @classmethod
    def of(cls, space: Space, choices: Mapping[str, str]) -> "Genotype":
        """From edge name → candidate name, for every edge."""
        cell_edges, fusion_edges = _edges(space)
        missing = [edge.name for edge in space.graph.edges if edge.name not in choices]
        if missing:
            raise GenotypeError(f"no candidate for {', '.join(missing)}")
        names = [choices[edge.name] for edge in cell_edges]
        cells = tuple(tuple(names[at : at + EDGES_PER_CELL]) for at in range(0, len(names), EDGES_PER_CELL))
        return cls(cells, tuple(choices[edge.name] for edge in fusion_edges), space)

    def at(self, space: Space) -> "Genotype":
        """The same choices in another space (other input size, channels or classes)."""
        return replace(self, space=space)

    def to_dict(self) -> dict[str, Any]:
        """Plain values. The paper's own aggregation is left out."""
        space = {name: value for name, value in asdict(self.space).items() if (name, value) != ("aggregation", "dense")}
        return {"cells": self.cells, "fusion": self.fusion, "space": space}

    def to_json(self) -> str:
        """Canonical JSON, as NetworkSpec.genotype holds it."""
        return canonical_json(self.to_dict())

    @classmethod
    def load(cls, path: Path) -> "Genotype":
        """Read a file of `to_json`'s form. Raises GenotypeError naming the file, OSError."""
        try:
            return cls.from_json(path.read_text("utf-8-sig"))  # some editors begin with a mark
        except UnicodeDecodeError as error:
            raise GenotypeError(f"{path} is no text (weights?); give a genotype.json") from error
        except GenotypeError as error:
            raise GenotypeError(f"{path}: {error}") from error

    @classmethod
    def from_json(cls, text: str) -> "Genotype":
        """Read `to_json`'s form, spaces and line breaks allowed. Raises GenotypeError."""
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise GenotypeError(f"the genotype is not JSON: {error}") from error
        members = _members("the genotype", value, {"cells", "fusion", "space"})
        required = {field.name for field in fields(Space)} - {"aggregation"}
        space = _members("space", members["space"], required, {"aggregation"})
        cells = tuple(_texts(f"cells[{index}]", names) for index, names in enumerate(_list("cells", members["cells"])))
        lists = {name: tuple(_list(f"space.{name}", space[name])) for name in ("reductions", "fused")}
        try:
            return cls(cells, _texts("fusion", members["fusion"]), Space(**{**space, **lists}))
        except GenotypeError:
            raise
        except ValueError as error:
            raise GenotypeError(f"space.{error}") from error


def random_genotype(space: Space, seed: int) -> Genotype:
    """Every candidate of every edge equally likely (Table VII)."""
    generator = random.Random(seed)
    return Genotype.of(space, {edge.name: generator.choice(edge.names) for edge in space.graph.edges})


def typical_genotype(space: Space, seed: int, light: tuple[float, float] = (0.6, 0.2)) -> Genotype:
    """Random, but like the paper's network (Fig. 9).

    A light operation has probability `light[0]` in cells 0 to 7 and `light[1]` after them; all else is uniform.
    """
    generator = random.Random(seed)
    light_names, heavy_names = (
        [name for name in candidates_of("cell") if CANDIDATES[name].kind.light == is_light]
        for is_light in (True, False)
    )
    choices: dict[str, str] = {}
    for index, edge in enumerate(space.cell_edges):
        is_light = generator.random() < light[0 if index // EDGES_PER_CELL <= 7 else 1]
        choices[edge.name] = generator.choice(light_names if is_light else heavy_names)
    choices.update((edge.name, generator.choice(edge.names)) for edge in _edges(space)[1])
    return Genotype.of(space, choices)


LIGHT_EDGES = (24, 6)
"""Of the paper's thirty light operations, how many `described_genotype` puts in cells 0 to 7, and behind them."""
LARGE_EDGES = 11
"""Dilated convolutions with dilation 4 or 8 in the last four cells of the paper's network."""


def described_genotype(space: Space, seed: int) -> Genotype:
    """Random, with what the paper says about its network in numbers (section IV-D; its Figs. 8 and 9 are pictures).

    Thirty light operations, most of them in front (LIGHT_EDGES is ours), and eleven convolutions with a dilation of 4
    or 8 in the last four cells. Raises ValueError for a space without 14 cells.
    """
    if space.cells != 14:
        raise ValueError(f"cells: {space.cells}, the paper describes a network of 14")
    generator = random.Random(seed)
    light = [name for name in candidates_of("cell") if CANDIDATES[name].kind.light]
    large = [name for name in candidates_of("cell") if CANDIDATES[name].kind is LARGE]
    others = [name for name in candidates_of("cell") if name not in (*light, *large)]
    names = [edge.name for edge in space.cell_edges]
    split, last = 8 * EDGES_PER_CELL, 10 * EDGES_PER_CELL
    large_edges = set(generator.sample(names[last:], LARGE_EDGES))
    behind = [name for name in names[split:] if name not in large_edges]
    light_edges = {*generator.sample(names[:split], LIGHT_EDGES[0]), *generator.sample(behind, LIGHT_EDGES[1])}
    choices: dict[str, str] = {}
    for number, name in enumerate(names):
        heavy = others if number >= last else [*others, *large]
        kinds = light if name in light_edges else large if name in large_edges else heavy
        choices[name] = generator.choice(kinds)
    choices.update((edge.name, generator.choice(edge.names)) for edge in _edges(space)[1])
    return Genotype.of(space, choices)


def varied_genotype(space: Space, seed: int) -> Genotype:
    """Random, between networks of light operations and networks of heavy ones, so that latencies spread."""
    share = random.Random(seed).uniform(0.05, 0.95)
    return typical_genotype(space, seed, (share, share))


def _edges(space: Space) -> tuple[tuple[Edge, ...], tuple[Edge, ...]]:
    """Edges of the cells, and all others."""
    others = tuple(edge for edge in space.graph.edges if edge.group != "cell")
    return space.cell_edges, others


def _members(owner: str, value: object, required: set[str], optional: Set[str] = frozenset()) -> dict[str, Any]:
    """A JSON object with all `required` names and no others but the `optional` ones."""
    names = required | optional
    if not isinstance(value, dict):
        raise GenotypeError(f"{owner}: a JSON object with {', '.join(sorted(required))} is expected, not {value!r:.80}")
    if missing := required - value.keys():
        raise GenotypeError(f"{owner}: {', '.join(sorted(missing))} missing")
    if unknown := value.keys() - names:
        raise GenotypeError(f"{owner}: unknown {', '.join(sorted(unknown))}; known are {', '.join(sorted(names))}")
    return value


def _list(owner: str, value: object) -> list[Any]:
    if not isinstance(value, list):
        raise GenotypeError(f"{owner}: a list is expected, not {value!r:.80}")
    return value


def _texts(owner: str, value: object) -> tuple[str, ...]:
    names = _list(owner, value)
    for index, name in enumerate(names):
        if not isinstance(name, str):
            raise GenotypeError(f"{owner}[{index}]: a candidate's name is expected, not {name!r:.80}")
    return tuple(names)
