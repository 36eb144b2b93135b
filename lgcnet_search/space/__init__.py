"""The LGCNet search space, and the names that servers and agents know it by."""

SPACE = "lgcnet"
REQUIREMENT = "lgcnet[search]"
"""What an agent has to install for it."""
