"""What blocks allocate lies elsewhere every time, in a process with the agent's allocator."""

import json
import os
import subprocess
import sys

import pytest

from profiler_agent.machine.allocator import KEEP_BUFFERS
from tests.support.agents import WAIT_S

BLOCKS = 40
LOOK = f"""
import json
import torch
from profiler_agent.measuring.placement import Placement, shifted

placement, of_blocks, of_processes = Placement(), [], []
for _ in range({BLOCKS}):
    placement.move()
    of_blocks.append(torch.empty(128, 49, 97).data_ptr())
for _ in range({BLOCKS}):
    fillers = shifted()
    of_processes.append(torch.empty(64, 64, 3, 3).data_ptr())
    del fillers
print(json.dumps([of_blocks, of_processes]))
"""


@pytest.mark.process
def test_outputs_lie_elsewhere_in_every_block_and_what_is_built_in_every_process() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", LOOK],
        env={**os.environ, **KEEP_BUFFERS},
        stdout=subprocess.PIPE,
        check=True,
        timeout=WAIT_S,
    )
    for addresses in json.loads(ended.stdout):
        assert len(set(addresses)) > 2  # one without fillers
