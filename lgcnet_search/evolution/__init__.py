"""What is decided by inherited weights: evolution over a supernet trained path by path, the second searcher, and which of
the networks drawn a search by gradient ends with."""

from typing import Literal

Method = Literal["gradient", "evolution"]
"""How networks are searched: by the gradient of Eq. 10, or by evolution over a supernet trained path by path."""
