"""The second searcher: a supernet trained path by path, and evolution with the weights that it leaves."""

from typing import Literal

Method = Literal["gradient", "evolution"]
"""How networks are searched: by the gradient of Eq. 10, or by evolution over a supernet trained path by path."""
