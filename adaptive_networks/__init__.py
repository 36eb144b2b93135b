"""Networks that decide at run time how much to compute, on one latency table.

Every system gives paths, each an ordinary network of its space, and rates; docs/adaptive.md has a section on each.
"""

REQUIREMENT = "lgcnet[search]"
"""What an agent has to install for any of them."""
