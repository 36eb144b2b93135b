"""A search by evolution, from the pictures to the network."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from lgcnet_search.computing.checkpoint import Checkpoints
from lgcnet_search.computing.engines import Engine
from lgcnet_search.computing.how import ALONE, Computing
from lgcnet_search.computing.run import resume
from lgcnet_search.data.loading import shares
from lgcnet_search.data.sources import DataFolder
from lgcnet_search.evolution.genetic import EvolutionSettings, Evolved, best_of, evolve
from lgcnet_search.evolution.judging import Judge, save_supernet
from lgcnet_search.evolution.one_path import OnePathRun, PathRecord, PathSettings
from lgcnet_search.evolution.pictures import trained_on
from lgcnet_search.space.latencies import Latencies
from lgcnet_search.space.space import Space

SUPERNET = "supernet.pt"
TRAINING = "supernet-training.pt"
STATE = "evolution.pt"


@dataclass(frozen=True)
class OnePathSupernet:
    """A supernet trained path by path, kept in `folder`: one serves every device and every ceiling."""

    space: Space
    proxy: Space
    data: DataFolder
    batch: int
    settings: PathSettings
    folder: Path

    @property
    def weights(self) -> Path:
        return self.folder / SUPERNET

    def train(
        self, computing: Computing = ALONE, save_every: int = 100, on_step: Callable[[PathRecord], None] | None = None
    ) -> None:
        """Train it, from the checkpoint where there is one; nothing to do where it is trained.

        Of several processes that ask for it, one trains and the others wait. Raises what the data raise,
        CheckpointError where the folder holds another one, SearchError.
        """
        if computing.processes.first:
            self.folder.mkdir(parents=True, exist_ok=True)
        if computing.processes.count > 1:
            self._train(computing, save_every, on_step)
            return
        with FileLock(self.folder / "supernet.lock"):
            self._train(computing, save_every, on_step)

    def _train(self, computing: Computing, save_every: int, on_step: Callable[[PathRecord], None] | None) -> None:
        crops = trained_on(self.data, self.space, self.proxy, self.settings.seed)
        run = OnePathRun(self.proxy, self.settings, computing)
        checkpoints = Checkpoints(
            self.folder / TRAINING, save_every, f"{self.data.root}, {self.batch} images in an update"
        )
        taken: list[PathRecord] = []

        def record(step: PathRecord) -> None:
            taken.append(step)
            if on_step:
                on_step(step)

        resume(run, shares(crops, self.batch, self.settings.seed, computing), checkpoints, record)
        if computing.processes.first and (taken or not self.weights.exists()):
            save_supernet(run.supernet, self.weights)

    @property
    def origin(self) -> dict[str, Any]:
        """What its weights follow from, but for the pictures."""
        return {
            **{f"proxy.{name}": value for name, value in asdict(self.proxy).items()},
            **{f"supernet.{name}": value for name, value in asdict(self.settings).items()},
        }

    def judge(self) -> Judge:
        return Judge(self.weights, self.proxy, self.data, self.batch, self.settings.seed)


@dataclass(frozen=True)
class EvolutionResult:
    """The most accurate network under the ceiling, by inherited weights, and all that were evaluated, in order."""

    best: Evolved
    evolved: tuple[Evolved, ...]


def search_by_evolution(
    supernet: OnePathSupernet,
    latencies: Latencies,
    settings: EvolutionSettings,
    folder: Path,
    computing: Computing = ALONE,
    engine: Engine | None = None,
    *,
    on_network: Callable[[], None] | None = None,
) -> EvolutionResult:
    """Evolve networks of a supernet that is trained; `folder` keeps what was evaluated, and a search goes on from it.

    Raises what `evolve` raises, and what the pictures raise.
    """
    folder.mkdir(parents=True, exist_ok=True)
    judge = supernet.judge()
    with (engine or Engine()).opened() as pool:
        evolved = evolve(
            supernet.space,
            latencies,
            lambda genotypes: judge.mious(genotypes, computing, pool, on_network),
            settings,
            checkpoints=Checkpoints(folder / STATE, 1, f"{supernet.data.root}, {supernet.batch} images in an update"),
            origin=supernet.origin,
            processes=computing.processes,
        )
    return EvolutionResult(best_of(evolved), tuple(evolved))
