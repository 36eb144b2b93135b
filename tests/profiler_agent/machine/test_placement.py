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
from profiler_agent.measuring.placement import Placement

placement, addresses = Placement(), []
for _ in range({BLOCKS}):
    placement.move()
    addresses.append(torch.empty(128, 49, 97).data_ptr())
print(json.dumps(addresses))
"""


@pytest.mark.process
def test_outputs_lie_elsewhere_in_every_block() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", LOOK],
        env={**os.environ, **KEEP_BUFFERS},
        stdout=subprocess.PIPE,
        check=True,
        timeout=WAIT_S,
    )
    addresses = json.loads(ended.stdout)
    assert len(set(addresses)) > BLOCKS / 4
