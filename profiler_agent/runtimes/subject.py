"""What a mode makes ready: a module with the shapes of its inputs, and what matters about where it comes from."""

from typing import NamedTuple

import torch

from profiler_agent.runtimes.exports import ShareExport, alone
from profiler_agent.runtimes.inputs import Shapes


class Subject(NamedTuple):
    """A module in fp32 on the CPU. `is_part`: it is an operation of networks, not a whole network.

    A mode that exports does so through `share`: what takes long and is the same in every process is made in one.
    """

    module: torch.nn.Module
    input_shapes: Shapes
    is_part: bool = False
    share: ShareExport = alone
