"""What inherited weights decide: evolution over a supernet trained path by path, and how a search by gradient ends."""

from typing import Literal

Method = Literal["gradient", "evolution"]
"""How networks are searched: by the gradient of Eq. 10, or by evolution over a supernet trained path by path."""
