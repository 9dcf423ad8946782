"""Files in, files out: images per second and peak memory, beside ``deface`` where it is installed, in one run.

    python benchmarks/end_to_end.py FOLDER [--method donor] [--workers 2] [--deface PATH_TO_DEFACE]

FOLDER holds the images (for example 512 px portraits). Model loading is part of a run, as it is for a user: give it a
hundred images or more.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def timed(command: list[str]) -> tuple[float, float]:
    """Seconds, and peak memory in MB of the largest process that the command started."""
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode not in (0, 3, 4):
        raise SystemExit(f"{' '.join(command)} failed: {done.stderr[-2000:]}")
    return seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--method", default="donor")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--deface")
    args = parser.parse_args()
    files = sorted(p for p in args.folder.iterdir() if p.is_file())
    results: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        ours = [sys.executable, "-m", "fo_faceanon.cli", "anonymize", str(args.folder), f"{folder}/out"]
        seconds, peak = timed([*ours, "--method", args.method, "--workers", str(args.workers), "--device", "cpu", "--json"])
        results[f"fo-faceanon {args.method}"] = {"images_per_second": len(files) / seconds, "seconds": seconds, "peak_mb": peak}
        if args.deface:
            copies = Path(folder) / "deface"
            shutil.copytree(args.folder, copies)
            seconds, peak = timed([args.deface, *(str(p) for p in sorted(copies.iterdir()))])
            results["deface"] = {"images_per_second": len(files) / seconds, "seconds": seconds, "peak_mb": peak}
    print(json.dumps({"images": len(files), "results": results}, indent=1))


if __name__ == "__main__":
    main()
