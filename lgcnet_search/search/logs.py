"""A search's course for TensorBoard."""

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from lgcnet_search.search.architecture import Architecture
from lgcnet_search.search.search import StepRecord

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class SearchLog:
    """Losses, λ, LAT and mean entropy at each step; the entropy of each edge (nats) and the genotype now and then.

    Opened again where a search goes on, it replaces what was written after the checkpoint.
    """

    def __init__(self, folder: Path, snapshot_every: int) -> None:
        self._folder = folder
        self._every = snapshot_every
        self._writer: SummaryWriter | None = None

    def __enter__(self) -> "SearchLog":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._writer:
            self._writer.close()

    def step(self, record: StepRecord) -> None:
        writer = self._writer = self._writer or self._opened(record.step)
        writer.add_scalar("loss/cross_entropy", record.cross_entropy, record.step)
        writer.add_scalar("loss/latency", record.latency_loss, record.step)
        writer.add_scalar("loss/total", record.cross_entropy + record.latency_loss, record.step)
        writer.add_scalar("latency_us", record.latency_us, record.step)
        writer.add_scalar("temperature", record.temperature, record.step)
        writer.add_scalar("entropy/mean", record.entropy, record.step)

    def architecture(self, step: int, architecture: Architecture) -> None:
        if step % self._every or self._writer is None:
            return
        for edge, entropy in architecture.entropies().items():
            self._writer.add_scalar(f"entropy/{edge}", entropy, step)
        self._writer.add_text("genotype", f"```\n{architecture.genotype().to_json()}\n```", step)
        self._writer.flush()

    def _opened(self, step: int) -> "SummaryWriter":
        from torch.utils.tensorboard import SummaryWriter  # takes a while to import

        return SummaryWriter(self._folder, purge_step=step)
