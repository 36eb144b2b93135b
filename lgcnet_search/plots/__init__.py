"""Pictures of searched networks, of searches, and of latencies; drawn without a display, PNG or SVG by the suffix.

Every function takes data and a path and returns the path. Nothing here touches pyplot's global state.
"""

import os
from contextlib import suppress

# A notebook's commands inherit its backend, which need not be installed here: matplotlib would not even be imported.
_backend = os.environ.pop("MPLBACKEND", None)

import matplotlib  # noqa: E402

if _backend is not None:
    os.environ["MPLBACKEND"] = _backend
    with suppress(ValueError):
        matplotlib.rcParams["backend"] = _backend
