"""What blocks allocate lies elsewhere every time, in a process with the agent's allocator."""

import json
import os
import subprocess
import sys

from profiler_agent.machine.allocator import KEEP_BUFFERS

BLOCKS = 40
LOOK = f"""
import json
import torch
from profiler_agent.measuring.placement import Placement

placement, places = Placement(), []
for _ in range({BLOCKS}):
    placement.move()
    places.append(torch.empty(128, 49, 97).data_ptr())
print(json.dumps(places))
"""


def test_outputs_lie_elsewhere_in_every_block() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", LOOK], env={**os.environ, **KEEP_BUFFERS}, stdout=subprocess.PIPE, check=True, timeout=60
    )
    places = json.loads(ended.stdout)
    assert len(set(places)) > BLOCKS / 4
