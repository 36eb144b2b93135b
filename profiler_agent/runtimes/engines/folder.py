"""Where engines are kept."""

import os
from pathlib import Path

from platformdirs import user_cache_path

FOLDER_VARIABLE = "PROFILER_AGENT_ENGINES"


def engines_folder() -> Path:
    """The folder that PROFILER_AGENT_ENGINES names, or one in the user's cache."""
    named = os.environ.get(FOLDER_VARIABLE)
    return Path(named) if named else user_cache_path("profiler-agent", appauthor=False) / "engines"
