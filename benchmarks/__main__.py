"""Every benchmark, one after the other: `python -m benchmarks`; one of them: `python -m benchmarks.NAME`."""

import pkgutil
import subprocess
import sys
from pathlib import Path


def main() -> None:
    names = [module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)])]
    for name in names:
        if not name.startswith("_"):
            print(f"== {name}", flush=True)
            subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=True)


if __name__ == "__main__":
    main()
