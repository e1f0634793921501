#!/usr/bin/env python3
"""Times U-DiT in PyTorch: the peer of this project's benchmark. See README.md beside this file."""

import argparse
import ctypes
import json
import os
import sys
import time
from pathlib import Path
from typing import Callable, List, Optional


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", choices=("forward", "train"), default="forward")
    parser.add_argument("--batch", type=int, default=8, help="latents per iteration")
    parser.add_argument("--size", type=int, default=32, help="side of the latent, a multiple of 8")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--hidden", type=int, default=96, help="channels of the first level")
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--depth", default="2,5,8,5,2", help="blocks of the five levels")
    parser.add_argument(
        "--tuned", action="store_true", help="train: 1x1 depthwise convolutions as multiplications"
    )
    parser.add_argument("--warmup", type=int, default=2, help="iterations before the first timed")
    parser.add_argument("--iterations", type=int, default=5, help="timed ones, without --json")
    parser.add_argument("--json", action="store_true", help="obey 'run K' and 'quit' on stdin")
    parser.add_argument("--check", type=Path, metavar="DIR", help="compare with fixtures and exit")
    arguments = parser.parse_args()
    depth = arguments.depth.split(",")
    if len(depth) != 5 or not all(level.isdecimal() for level in depth):
        parser.error(f"--depth: '{arguments.depth}' is not five numbers such as 2,5,8,5,2")
    if arguments.size % 8 != 0:
        parser.error(f"--size: {arguments.size} is not a multiple of 8")
    if arguments.hidden % (4 * arguments.heads) != 0:
        parser.error(f"--hidden: {arguments.hidden} is not 4 x {arguments.heads} heads x a number")
    if arguments.iterations < 1:
        parser.error(f"--iterations: {arguments.iterations} is less than 1")
    arguments.depth = tuple(int(level) for level in depth)
    return arguments


def limit_threads(threads: int) -> None:
    """OpenMP and the BLAS libraries read these when torch is imported, so this comes before."""
    for library in ("OMP", "OPENBLAS", "MKL"):
        os.environ[f"{library}_NUM_THREADS"] = str(threads)


def iteration(arguments: argparse.Namespace) -> Callable[[], object]:
    """Builds model and inputs; returns the work to be timed."""
    import torch

    from network import (
        UDiT,
        UDiTConfig,
        avoid_slow_depthwise,
        initialise,
        merge_for_evaluation,
    )
    from training import Trainer

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    config = UDiTConfig(hidden=arguments.hidden, heads=arguments.heads, depth=arguments.depth)
    model = initialise(UDiT(config))
    x = torch.randn(arguments.batch, 4, arguments.size, arguments.size)
    y = torch.randint(0, config.classes, (arguments.batch,))
    if arguments.task == "train":
        trainer = Trainer(avoid_slow_depthwise(model) if arguments.tuned else model)
        return lambda: trainer.step(x, y)
    merge_for_evaluation(model)
    t = torch.randint(0, 1000, (arguments.batch,))
    return torch.inference_mode()(lambda: model(x, t, y))


def timed(work: Callable[[], object], count: int) -> List[float]:
    """Wall-clock seconds of each of count iterations."""
    seconds = []
    for _ in range(count):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return seconds


def blas_core() -> Optional[str]:
    """The processor that Debian's OpenBLAS chose its kernels for; None with another BLAS."""
    try:
        name = ctypes.CDLL("libblas.so.3").openblas_get_corename
    except (OSError, AttributeError):
        return None
    name.restype = ctypes.c_char_p
    return name().decode()


def peak_rss_mb() -> float:
    """Largest resident set of this process so far, in units of 10^6 bytes.

    Linux's ru_maxrss would not do: it starts from the peak of the process that spawned this one.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(row for row in status.read_text().splitlines() if row.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024 / 1e6
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def say(**fields: object) -> None:
    print(json.dumps(fields), flush=True)


def serve(work: Callable[[], object], threads: int) -> None:
    """The interleaving protocol: lines on stdin, one JSON line on stdout for each."""
    import torch

    say(ready=True, torch=torch.__version__, threads=threads, blas_core=blas_core())
    for line in sys.stdin:
        words = line.split()
        if words == ["quit"]:
            break
        if len(words) == 2 and words[0] == "run" and words[1].isdecimal():
            say(seconds=timed(work, int(words[1])))
        else:
            say(error=f"unknown request '{line.strip()}': send 'run K' or 'quit'")
    say(peak_rss_mb=round(peak_rss_mb(), 1))


def main() -> int:
    arguments = parse_arguments()
    limit_threads(arguments.threads)
    if arguments.check:
        from check import check

        return check(arguments.check)
    work = iteration(arguments)
    timed(work, arguments.warmup)
    if arguments.json:
        serve(work, arguments.threads)
        return 0
    seconds = sorted(timed(work, arguments.iterations))
    median, least = seconds[len(seconds) // 2], seconds[0]
    peak = peak_rss_mb()
    print(f"{arguments.task}: median {median:.3f} s, least {least:.3f} s, peak {peak:.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
