"""lgcnet-search in this process, at a size that takes no time."""

import sys

import pytest

from lgcnet_search.__main__ import main
from lgcnet_search.space.space import Space
from tests.support import factories

SIZE = ["--height", "65", "--width", "97", "--channels", "1"]
SPACE = Space(height=65, width=97, channels=1)
PROFILE = ["profile", "--calibrate", 0]
AGENT = factories.report(uuid="cpu-7", name="Test CPU")


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """The command in this process; its exit code."""
    monkeypatch.setattr(sys, "argv", ["lgcnet-search", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        main()
    code = caught.value.code
    assert isinstance(code, int)
    return code
