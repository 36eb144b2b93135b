"""Write the parts of README.md that follow from the code: `python -m deploy.readme`.

What has run where follows from the modes' own entries; what a GPU showed, from the JSON that deploy/gpu_day.py wrote.
"""

import re
from pathlib import Path

from profiler_agent.runtimes.interface import DeviceKind, ModeEntry
from profiler_agent.runtimes.mode import MODES

README = Path(__file__).resolve().parent.parent / "README.md"
MARKS = "<!-- {} -->"


def modes_table() -> str:
    """A row for each mode: how far it has come on CPUs and GPUs, and what was seen of it there."""
    rows = [f"| `{mode}` | {_cell(entry, 'cpu')} | {_cell(entry, 'cuda')} |" for mode, entry in MODES.items()]
    return "\n".join(["| mode | on a CPU | on a GPU |", "|---|---|---|", *rows])


def between_marks(text: str, name: str, content: str) -> str:
    """`text` with `content` between `<!-- name -->` and `<!-- end of name -->`. Raises ValueError without them."""
    start, end = MARKS.format(name), MARKS.format(f"end of {name}")
    pattern = re.compile(f"{re.escape(start)}\n.*?{re.escape(end)}", re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f"{start}: README.md has no such mark with {end} behind it")
    return pattern.sub(lambda _: f"{start}\n{content}\n{end}", text)


def _cell(entry: ModeEntry, kind: DeviceKind) -> str:
    if kind not in entry.precisions:
        return {"cpu": "needs a GPU", "cuda": "for CPUs"}[kind]
    ran = entry.ran[kind]
    how = ran.how if ran.how == "run" else f"**{ran.how}**"
    return f"{how}: {ran.what}" if ran.what else how


def main() -> None:
    README.write_text(between_marks(README.read_text("utf-8"), "modes", modes_table()), "utf-8")


if __name__ == "__main__":
    main()
