"""Why something is not measured: two kinds, by who has to act.

Whatever else is raised on the way (by a space's code, a library, the system) becomes one of them `from` its cause. The
measuring process sends them as messages (measuring/tasks.py), and the agent raises them again (agent/process.py).
"""


class NotMeasured(Exception):
    """Something is not measured; the message says why, and what to do."""


class JobFailed(NotMeasured):
    """A job cannot be done on this machine, or nowhere: its owner hears why, and the agent takes the next one."""


class Unmeasurable(JobFailed):
    """One operation or network does not build or run here; the message names it. The others are measured."""


class AgentMustStop(NotMeasured):
    """Nothing can be measured on this machine until somebody acts: the agent gives its job back and ends."""
