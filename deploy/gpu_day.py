"""A GPU's first minutes, all in one: `make gpu`, or `python -m deploy.gpu_day`.

Doctor, tests, tables, networks with a calibration, repeatability, the driver's record, and steps of the search, what
tells most first. Each part is a process with a time limit of its own; one that fails is told and passed over. What is
done stays in `--folder`, so that a second run goes on. It ends with day.json and section.md there, the tables as files
that `lut-server import` takes, and with `--readme` the section in README.md.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from latency_tables.whole_files import write_whole

LIMIT_S = 480.0
PATIENCE = 10
"""How much longer a part may take in a rehearsal: it runs on any machine, beside anything."""
LEAST_S = 10.0
"""A part is not begun with less time left."""


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parsed(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    if options.part:
        _do_part(options)
        return
    started_s = time.monotonic()
    for name in _names(options):
        left_s = options.limit - (time.monotonic() - started_s)
        _told(name, _run_part(name, options, left_s))
    day = summary(options.folder, _names(options))
    write_whole(options.folder / "day.json", (json.dumps(day, indent=1) + "\n").encode())
    write_whole(options.folder / "section.md", section(day).encode())
    if options.readme:
        from deploy.readme import README, between_marks

        README.write_text(between_marks(README.read_text("utf-8"), "gpu", section(day)), "utf-8")
    done = sum("error" not in part for part in day.values())
    print(json.dumps({"parts": len(day), "done": done, "seconds": round(time.monotonic() - started_s, 1)}), flush=True)


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make gpu", description=__doc__.split("\n\n")[0])
    parser.add_argument("--device", default="cuda:0", help="cuda:N, or cpu to rehearse (default cuda:0)")
    parser.add_argument("--small", action="store_true", help="tiny sizes, for a rehearsal")
    parser.add_argument("--folder", type=Path, default=Path("runs/gpu"), help="where everything is kept")
    parser.add_argument("--limit", type=float, default=LIMIT_S, help=f"seconds in all (default {LIMIT_S:g})")
    parser.add_argument("--only", action="append", metavar="PART", help="this part only; may be repeated")
    parser.add_argument("--readme", action="store_true", help="write the section into README.md, too")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def _names(options: argparse.Namespace) -> list[str]:
    from deploy.gpu_parts import Day, parts

    names = list(parts(Day(options.folder, options.device, options.small)))
    unknown = [name for name in options.only or () if name not in names]
    if unknown:
        sys.exit(f"--only {unknown[0]}: there is no such part; there are: {', '.join(names)}")
    return [name for name in names if not options.only or name in options.only]


def _run_part(name: str, options: argparse.Namespace, left_s: float) -> Mapping[str, Any]:
    """What a part gave, now or in an earlier run; its error otherwise."""
    from deploy.gpu_parts import Day, parts

    path = _path(options.folder, name)
    if path.exists() and "error" not in (earlier := json.loads(path.read_text("utf-8"))):
        return {**earlier, "earlier": True}
    part = parts(Day(options.folder, options.device, options.small))[name]
    limit_s = min(part.limit_s * (PATIENCE if options.small else 1), left_s)
    if limit_s < LEAST_S:
        return _failed(path, "no time was left; run it again to go on")
    command = [sys.executable, "-m", "deploy.gpu_day", "--part", name, "--folder", str(options.folder)]
    command += ["--device", options.device, *(["--small"] if options.small else [])]
    log = path.with_suffix(".log")
    started_s = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            code = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            return _failed(path, f"took more than {limit_s:.0f} s; the end of its output is in {log}")
        finally:
            _end(process)
    if code or not path.exists():
        lines = log.read_text("utf-8", "replace").strip().splitlines()
        return _failed(path, lines[-1] if lines else f"ended with exit code {code}")
    result = {**json.loads(path.read_text("utf-8")), "took_s": round(time.monotonic() - started_s, 1)}
    _write(path, result)
    return result


def _do_part(options: argparse.Namespace) -> None:
    from deploy.gpu_parts import Day, parts

    day = Day(options.folder, options.device, options.small)
    _write(_path(options.folder, options.part), parts(day)[options.part].work(day))


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End what a part started, too: nothing may hold the GPU when the next one begins."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name.replace(',', '').replace(' ', '-')}.json"


def _write(path: Path, result: Mapping[str, Any]) -> None:
    write_whole(path, (json.dumps(result, indent=1) + "\n").encode())


def _failed(path: Path, error: str) -> Mapping[str, Any]:
    result = {"error": error}
    _write(path, result)
    return result


def _told(name: str, result: Mapping[str, Any]) -> None:
    if "error" in result:
        print(f"{name}: failed: {result['error']}", flush=True)
    else:
        print(f"{name}: {'done earlier' if 'earlier' in result else 'done'} in {result['took_s']} s", flush=True)


def summary(folder: Path, names: Sequence[str]) -> dict[str, Any]:
    """Of every part, what it gave or why it did not."""
    paths = {name: _path(folder, name) for name in names}
    return {name: json.loads(path.read_text("utf-8")) for name, path in paths.items() if path.exists()}


def section(day: Mapping[str, Any]) -> str:
    """What a README says of a day, in Markdown; only what was seen."""
    doctor = day.get("doctor", {})
    device, environment = doctor.get("device", {}), doctor.get("environment", {})
    shown = (f"{name} {environment[name]}" for name in ("driver", "torch", "cuda") if name in environment)
    lines = [f"{device.get('name', 'An unknown device')}: {', '.join(shown)}.", ""]
    tables = {name: part for name, part in day.items() if name.startswith("table ") and "error" not in part}
    if tables:
        lines += ["| table | rows | doubtful | sum of rows, ms | seconds |", "|---|---|---|---|---|"]
        for name, part in tables.items():
            cells = (name[6:], part["rows"], part["doubtful"], f"{part['sum_us'] / 1000:.2f}", part["seconds"])
            lines.append(f"| {' | '.join(map(str, cells))} |")
        lines.append("")
    for name, part in day.items():
        if "error" in part:
            lines.append(f"- {name}: **failed**: {part['error']}")
        elif name.startswith("networks "):
            card = part["card"]
            measuring = card.get("measuring")
            ceiling = "" if measuring is None else f" (measuring: {measuring:.2%})"
            lines.append(
                f"- {name}: {card['networks']} measured; each predicted by the others with a mean error of "
                f"{card['calibrated']['mape']:.2%}{ceiling}, by the rows alone of {card['raw']['mape']:.2%}"
            )
        elif name.startswith("repeat "):
            lines.append(f"- {name}: rows of two tables are {part['median']:.2%} apart, 95 % of them {part['p95']:.2%}")
        elif name.startswith("search step"):
            memory = f", {part['peak_memory_gib']} GiB" if part["peak_memory_gib"] is not None else ""
            shape = "×".join(map(str, part["batch"]))
            hours = f"{part['steps']} steps take {part['gpu_hours']} h"
            lines.append(f"- {name}, batch {shape}: {part['seconds']} s{memory}; {hours}")
        elif name == "tests":
            lines.append(f"- tests: {part['summary']}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
