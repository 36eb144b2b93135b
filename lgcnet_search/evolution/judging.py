"""Networks judged by the weights that a file of a supernet holds: by this process, or wherever an engine runs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from lgcnet_search.computing.checkpoint import Checkpoint
from lgcnet_search.computing.engines import Pool
from lgcnet_search.computing.how import Computing
from lgcnet_search.data.sources import DataFolder
from lgcnet_search.evolution import pictures
from lgcnet_search.evolution.inherited import InheritedAccuracy
from lgcnet_search.search.supernet import Supernet
from lgcnet_search.space.digest import space_digest
from lgcnet_search.space.genotype import Genotype
from lgcnet_search.space.space import Space


def save_supernet(supernet: Supernet, path: Path) -> None:
    """Keep the weights alone, without what a training needs to go on."""
    Checkpoint(_origin(supernet.space), {"supernet": supernet.state_dict()}).save(path)


def load_supernet(proxy: Space, path: Path) -> Supernet:
    """The supernet of `proxy` with the weights of a file. Raises CheckpointError, OSError."""
    supernet = Supernet(proxy)
    supernet.load_state_dict(Checkpoint.load(path, _origin(proxy)).state["supernet"])
    return supernet


def _origin(proxy: Space) -> Mapping[str, Any]:
    return {"definition": space_digest(), **{f"proxy.{name}": value for name, value in asdict(proxy).items()}}


@dataclass(frozen=True)
class Judge:
    """The supernet of `proxy` in a file, and the pictures that its networks are judged by."""

    weights: Path
    proxy: Space
    data: DataFolder
    batch: int
    seed: int

    def accuracy(self, computing: Computing) -> InheritedAccuracy:
        """Raises CheckpointError, DataError."""
        return InheritedAccuracy(
            load_supernet(self.proxy, self.weights).to(computing.device),
            pictures.statistics(self.data, self.proxy, self.batch, self.seed, computing),
            pictures.judged(self.data, self.proxy, self.batch, computing),
            self.data.labels,
            computing,
        )

    def mious(
        self,
        genotypes: Sequence[Genotype],
        computing: Computing,
        pool: Pool,
        on_done: Callable[[], None] | None = None,
    ) -> list[float]:
        """The mIoU of every network with inherited weights, each a task of the pool."""
        mious: dict[int, float] = {}
        for index, miou in pool.run(_miou, [(self, genotype, computing) for genotype in genotypes]):
            mious[index] = miou
            if on_done:
                on_done()
        return [mious[index] for index in range(len(genotypes))]


def _miou(judge: Judge, genotype: Genotype, computing: Computing) -> float:
    return _accuracy(judge, judge.weights.stat().st_mtime_ns, computing)(genotype).miou


@lru_cache(maxsize=1)
def _accuracy(judge: Judge, _written_ns: int, computing: Computing) -> InheritedAccuracy:
    """Kept from one network to the next, in every process that judges some."""
    return judge.accuracy(computing)
