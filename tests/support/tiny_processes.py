"""What several processes compute together: torchrun … -m tests.support.tiny_processes FOLDER."""

import sys
from pathlib import Path

import torch

from lgcnet_search.computing.processes import launched
from tests.support.tiny_search import shared
from tests.support.tiny_train import normalized, trained

if __name__ == "__main__":
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    with launched(torch.device("cpu")) as (processes, _):
        together = {"soft": shared(processes, "soft"), "hard": shared(processes, "hard"), "trained": trained(processes)}
        if processes.first:
            torch.save(together, folder / "together.pt")
        torch.save(trained(processes, make=normalized), folder / f"normalized.{processes.rank}.pt")
    names = [task.read_text().strip() for task in Path("/proc/self/task").glob("*/comm")]
    (folder / f"threads.{processes.rank}.txt").write_text("\n".join(names))
