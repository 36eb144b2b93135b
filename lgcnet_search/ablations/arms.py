"""The paper's ablations as data: what each row of Tables VI to XI and each point of Fig. 7 changes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from latency_tables.contract import OperationSpec
from lgcnet_search.evolution import Method
from lgcnet_search.search.guide import DIMENSION, Guide
from lgcnet_search.search.latency import BETA
from lgcnet_search.space.space import Aggregation, Space


@dataclass(frozen=True)
class Printed:
    """What the paper prints for a row: mIoU in percent, frames a second, millions of parameters, their spreads."""

    miou_percent: float | None = None
    fps: float | None = None
    parameters_m: float | None = None
    miou_spread: float | None = None
    fps_spread: float | None = None


@dataclass(frozen=True)
class Arm:
    """A row of a table: how its networks come about; defaults are the paper's own settings.

    A `drawn` network is random, not searched: among all that reach `fps_floor`, or among those whose predicted
    latency is at most that of the fastest network of the arm `no_slower_than`, or among all.
    """

    name: str
    label: str
    paper: Printed = Printed()
    method: Method = "gradient"
    guide: Guide = "edge-similarity"
    guide_dimension: int = DIMENSION
    shared_cells: bool = False
    aggregation: Aggregation = "dense"
    fused: tuple[int, int, int] = (0, 7, 13)
    beta: float = BETA
    drawn: bool = False
    fps_floor: float | None = None
    no_slower_than: str | None = None
    at_least: int = 1
    """Seeds that this arm has even where fewer are asked for."""
    trained: bool = True
    """False: only its latency is predicted."""
    sweep: bool = False
    """One of several weights of the latency loss: a point of a curve; the label is β."""

    def space(self, base: Space) -> Space:
        """`base` as this arm changes it. Cells behind the last fused one would feed nothing: there are none."""
        return replace(base, aggregation=self.aggregation, fused=self.fused, cells=self.fused[-1] + 1)


@dataclass(frozen=True)
class Ablation:
    """A table or figure: its arms in the paper's order, and over how many seeds the paper repeats them."""

    name: str
    title: str
    column: str
    arms: tuple[Arm, ...]
    repeats: int
    ceilings: tuple[float, ...] = ()
    """Where networks are compared at equal latency: the shares of random networks that are as fast."""
    ceilings_us: tuple[float, ...] = ()
    """In place of the shares: what networks may take."""

    def operations(self, base: Space) -> tuple[OperationSpec, ...]:
        """What a latency table must hold for all arms, each once."""
        return tuple(dict.fromkeys(spec for arm in self.arms for spec in arm.space(base).operations))

    def with_ceilings(self, ceilings_ms: Sequence[float]) -> "Ablation":
        """The same under ceilings that are given. Raises ValueError."""
        if not self.ceilings:
            raise ValueError(f"ceiling_ms: {self.name} compares under no ceiling; only equal-latency does")
        for ceiling_ms in ceilings_ms:
            if not (math.isfinite(ceiling_ms) and ceiling_ms > 0):
                raise ValueError(f"ceiling_ms: {ceiling_ms} is not a finite number above 0")
        return replace(self, ceilings_us=tuple(1000 * ceiling_ms for ceiling_ms in dict.fromkeys(ceilings_ms)))

    def only(self, names: Sequence[str]) -> "Ablation":
        """A comparison at equal latency of these searchers with random networks. Raises ValueError."""
        if not self.ceilings:
            given = ", ".join(names)
            raise ValueError(
                f"arm: {given} given, but {self.name} is made whole; leave it out: only equal-latency has it"
            )
        searchers = [arm.name for arm in self.arms if not arm.drawn]
        for name in names:
            if name not in searchers:
                raise ValueError(f"arm: {name} is none of {', '.join(searchers)}")
        return replace(self, arms=tuple(arm for arm in self.arms if arm.drawn or arm.name in names))

    def with_floor(self, fps: float) -> "Ablation":
        """The same with another floor for its fast random networks: 100 FPS is a Titan Xp's. Raises ValueError."""
        if not (math.isfinite(fps) and fps > 0):
            raise ValueError(f"fps_floor: {fps} is not a finite number above 0")
        if all(arm.fps_floor is None for arm in self.arms):
            raise ValueError(f"fps_floor: {self.name} has none; only {TABLE_7.name} does")
        return replace(
            self, arms=tuple(arm if arm.fps_floor is None else replace(arm, fps_floor=fps) for arm in self.arms)
        )


OWN = Arm("lgcnet", "LGCNet", Printed(73.0, 115.2, 2.09, 0.5))

TABLE_6 = Ablation(
    "table-6",
    "Table VI: the GCN-guided module",
    "Methods",
    (
        Arm("shared", "a) cell shared", Printed(68.6, 100.1, 6.60, 0.9), guide="none", shared_cells=True),
        Arm("independent", "b) cell independent", Printed(67.1, 118.9, 4.18, 1.0), guide="none"),
        Arm("connected", "c) cell independent + FC", Printed(69.7, 112.8, 3.24, 0.6), guide="connected"),
        replace(OWN, name="gcn", label="d) cell independent + GCN"),
    ),
    repeats=5,
)

TABLE_7 = Ablation(
    "table-7",
    "Table VII: random search",
    "Methods",
    (
        Arm("random", "Random setting (a)", Printed(69.8, 61.9, None, 0.5, 4.8), drawn=True),
        Arm("random-fast", "Random setting (b)", Printed(66.3, 107.6, None, 0.4, 3.4), drawn=True, fps_floor=100.0),
        replace(OWN, paper=Printed(73.0, 115.2, None, 0.5, 3.7)),
    ),
    repeats=10,
)

TABLE_8 = Ablation(
    "table-8",
    "Table VIII: dimensions of the GCN's weight",
    "Methods",
    (
        Arm("none", "without GGM", Printed(67.1, 112.9), guide="none"),
        *(
            Arm(f"d{dimension}", f"GGM with d = {dimension}", Printed(miou, fps), guide_dimension=dimension)
            for dimension, miou, fps in (
                (16, 72.1, 111.6),
                (32, 72.2, 109.2),
                (64, 73.0, 115.2),
                (128, 72.5, 107.1),
                (256, 72.6, 116.3),
            )
        ),
    ),
    repeats=5,
)

TABLE_9 = Ablation(
    "table-9",
    "Table IX: reasoning graphs",
    "Reasoning Graph",
    (
        Arm("operations", "Operation-identity", Printed(71.2, 106.4), guide="operation-identity"),
        Arm("edges", "Edge-similarity", Printed(73.0, 115.2)),
    ),
    repeats=5,
)

# The paper does not say how often it repeated this one and Fig. 7.
TABLE_10 = Ablation(
    "table-10",
    "Table X: multi-scale modules",
    "Methods",
    (
        Arm("none", "a) LGCNet", Printed(69.5, 124.1), aggregation="none"),
        Arm("aspp", "b) LGCNet with ASPP", Printed(72.4, 108.4), aggregation="aspp"),
        Arm("ppm", "c) LGCNet with PPM", Printed(72.5, 114.1), aggregation="ppm"),
        Arm("mscell", "d) LGCNet with MSCell", Printed(72.7, 112.7), aggregation="mscell"),
        Arm("dcfc", "e) LGCNet with DCFC", Printed(73.0, 115.2)),
    ),
    repeats=3,
)

TABLE_11 = Ablation(
    "table-11",
    "Table XI: which cells are aggregated",
    "Cells to aggregate",
    tuple(
        Arm(f"cells-{'-'.join(map(str, fused))}", f"{letter}) {list(fused)}", Printed(miou, fps), fused=fused)
        for letter, fused, miou, fps in (
            ("a", (0, 5, 13), 72.5, 109.8),
            ("b", (0, 6, 13), 71.8, 113.4),
            ("c", (0, 7, 13), 72.9, 115.1),
            ("e", (0, 7, 10), 72.2, 115.2),
            ("f", (0, 7, 11), 72.1, 114.6),
            ("g", (0, 7, 12), 72.4, 112.8),
        )
    ),
    repeats=3,
)

FIGURE_7 = Ablation(
    "figure-7",
    "Fig. 7: the weight of the latency loss",
    "β",
    tuple(
        Arm(f"beta-{beta:g}", f"{beta:g}", beta=beta, sweep=True)
        for beta in (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05)
    ),
    repeats=3,
)

GENERATED = Ablation(
    "generated",
    "Found against random networks on generated street scenes",
    "Networks",
    (
        Arm("found", "found, GCN-guided", at_least=3),
        Arm("independent", "found, independent cells", guide="none", at_least=3),
        Arm("random", "random, no slower than any found", drawn=True, no_slower_than="found", at_least=6),
        *(
            Arm(f"beta-{beta:g}", f"β = {beta:g}", beta=beta, sweep=True, trained=False, at_least=3)
            for beta in (0.0, 0.05, 0.2, 1.0)
        ),
    ),
    repeats=3,
)
"""Not in the paper: its claims at a size that two CPU cores do in an hour. β is swept by predicted latency."""

EQUAL_LATENCY = Ablation(
    "equal-latency",
    "Found against random networks at equal latency",
    "Networks",
    (
        Arm("guided", "found, GCN-guided"),
        Arm("independent", "found, independent cells", guide="none"),
        Arm("evolution", "found, evolution", method="evolution", guide="none"),
        Arm("random", "random", drawn=True),
    ),
    repeats=5,
    ceilings=(0.25, 0.05),
)
"""Not in the paper, which compares what it found with random networks of other latencies (Table VII)."""

ABLATIONS = {
    ablation.name: ablation
    for ablation in (TABLE_6, TABLE_7, TABLE_8, TABLE_9, TABLE_10, TABLE_11, FIGURE_7, GENERATED, EQUAL_LATENCY)
}
