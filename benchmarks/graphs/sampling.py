"""Wall time and memory of `scorefield sample`, one process against two.

    python benchmarks/graphs/sampling.py RUN [--num 10000] [--repeats 3]

Each measurement is the whole command in processes of its own, from start to the written file; one thread a process.
Both sides take turns; the medians and their ratio are printed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# Runs a command and prints seconds and the largest resident size of any process below it, in MiB.
_TIMED = """
import json, resource, subprocess, sys, time
begin = time.perf_counter()
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
seconds = time.perf_counter() - begin
print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024]))
"""


def measure(run: str, num: int, devices: int, folder: Path) -> tuple[float, float, Path]:
    """Seconds, MiB of the largest process, and the file of one call."""
    file = folder / f"{devices}-{time.monotonic_ns()}.csv"
    command = [sys.executable, "-m", "scorefield", "sample", run, "--num", str(num), "--out", str(file)]
    command += ["--devices", str(devices), "--accelerator", "cpu"]
    printed = subprocess.run([sys.executable, "-c", _TIMED, *command], check=True, capture_output=True, text=True)
    seconds, memory = json.loads(printed.stdout)
    return seconds, memory, file


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--num", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    seconds: dict[int, list[float]] = {1: [], 2: []}
    memory: dict[int, list[float]] = {1: [], 2: []}
    contents = set()
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(options.repeats):
            for devices in seconds:
                taken, peak, file = measure(options.run, options.num, devices, Path(folder))
                seconds[devices].append(taken)
                memory[devices].append(peak)
                contents.add(file.read_bytes())
    print("| processes | seconds (median) | samples per second | MiB of the largest process |\n|---|---|---|---|")
    for devices, values in seconds.items():
        middle = statistics.median(values)
        print(f"| {devices} | {middle:.1f} | {options.num / middle:.0f} | {max(memory[devices]):.0f} |")
    ratio = statistics.median(a / b for a, b in zip(seconds[1], seconds[2], strict=True))
    print(f"\nTwo processes are {ratio:.2f} times as fast as one; files equal: {len(contents) == 1}.")


if __name__ == "__main__":
    main()
