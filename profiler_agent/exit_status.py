"""How a process ended, in words."""

import signal


def how_it_ended(code: int) -> str:
    """What a process's exit status says; a negative one is the signal that ended it."""
    if code >= 0:
        return f"ended with exit code {code}; its last words are on the agent's stderr"
    name = signal.Signals(-code).name
    return f"was ended by {name}{' (out of memory?)' if name == 'SIGKILL' else ''}"
