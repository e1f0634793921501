#!/usr/bin/env python3
"""U-DiT, DiT, SiT, DiT-LLaMA, autoencoders and feature networks in PyTorch: the peer of this project's benchmark. See README.md beside this file."""

import argparse
import ctypes
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Callable, List, Optional

WARM_UP = {"forward": 2, "sample": 1, "train": 1, "encode": 1, "decode": 1, "features": 2}
DEFAULT_MODEL = '{"family": "U-DiT", "config": {}}'


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--describe", action="store_true", help="what this PyTorch has, as JSON")
    what.add_argument("--matrix-speed", action="store_true", help="of a matrix product, as JSON")
    what.add_argument("--check", type=Path, metavar="DIR", help="compare with fixtures and exit")
    what.add_argument("--serve", action="store_true", help="obey 'run' and 'quit' on stdin")
    parser.add_argument(
        "--task", choices=tuple(WARM_UP), help="default: forward; to be checked: all of a denoiser"
    )
    parser.add_argument("--mode", default="eager", help="see modes.py")
    parser.add_argument(
        "--model", default=DEFAULT_MODEL, help="preset of this project, as JSON (default: U-DiT-S)"
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--batch", type=int, default=8, help="images per iteration")
    parser.add_argument(
        "--size", type=int, nargs=2, default=(256, 256), help="encode, decode: sides of a picture"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=10, help="sample: steps of DDPM")
    parser.add_argument("--cfg-scale", type=float, default=1.5, help="sample: guidance, 1 is none")
    parser.add_argument("--iterations", type=int, default=5, help="timed ones, without --serve")
    parser.add_argument("--json", action="store_true", help="the outcome of --check as JSON")
    arguments = parser.parse_args()
    for name in ("batch", "threads", "steps", "iterations"):
        if getattr(arguments, name) < 1:
            parser.error(f"--{name}: {getattr(arguments, name)} is less than 1")
    return arguments


def limit_threads(threads: int) -> None:
    """OpenMP and the BLAS libraries read these when torch is imported, so this comes before."""
    for library in ("OMP", "OPENBLAS", "MKL"):
        os.environ[f"{library}_NUM_THREADS"] = str(threads)


def compute_in_float32() -> None:
    """By default PyTorch rounds the operands of convolutions on a GPU to TF32, of 10 bits."""
    import torch

    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False


def iteration(arguments: argparse.Namespace) -> Callable[[], object]:
    """Builds model and inputs; returns the work to be timed."""
    import torch

    from autoencoder import HALVES, half_of, input_shape
    from diffusion import GaussianDiffusion, guided
    from features import feature_network_of, own_size
    from modes import compiler_of, for_inference, for_training, precision_of
    from network import initialise
    from presets import model_of

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    mode, batch, device = arguments.mode, arguments.batch, arguments.device
    spec = json.loads(arguments.model)
    if arguments.task in HALVES:
        example = torch.randn(batch, *input_shape(spec, arguments.task, *arguments.size), device=device)
        network = for_inference(half_of(spec, arguments.task).to(device), mode, [example])
        return lambda: network(example)
    if arguments.task == "features":
        side = own_size(spec)
        example = torch.randn(batch, 3, side, side, device=device)
        network = for_inference(feature_network_of(spec).to(device), mode, [example])
        return lambda: network(example)
    model, side, classes = model_of(spec)
    initialise(model).to(device)
    x = torch.randn(batch, 4, side, side, device=device)
    y = torch.randint(0, classes, (batch,), device=device)
    if arguments.task == "train":
        from training import Trainer

        trainer = Trainer(
            for_training(model, mode),
            compiled=compiler_of(mode),
            precision=precision_of(mode, device),
        )
        return lambda: trainer.step(x, y)
    guides = arguments.task == "sample" and arguments.cfg_scale != 1
    t = torch.randint(0, 1000, (batch,), device=device)
    example = [torch.cat([each, each]) if guides else each for each in (x, t, y)]
    network = for_inference(model, mode, example)
    if arguments.task == "forward":
        return lambda: network(x, t, y)
    diffusion = GaussianDiffusion(arguments.steps, device)
    if guides:
        denoise = guided(network, y, arguments.cfg_scale, null_label=classes)
    else:
        denoise = lambda x, t: network(x, t, y)  # noqa: E731
    return lambda: diffusion.sample(denoise, x.shape)


def finished(work: Callable[[], object], device: str) -> Callable[[], None]:
    """The work until it is done: a GPU is only told what to do."""

    def run() -> None:
        work()
        if device == "cuda":
            import torch

            torch.cuda.synchronize()

    return run


def seconds_now() -> float:
    """Of the machine's monotonic clock, which all processes read alike."""
    return time.clock_gettime(time.CLOCK_MONOTONIC)


def timed(work: Callable[[], object], count: int) -> List[float]:
    """Seconds of each of count iterations."""
    seconds = []
    for _ in range(count):
        begin = seconds_now()
        work()
        seconds.append(seconds_now() - begin)
    return seconds


def blas_core() -> Optional[str]:
    """The processor that Debian's OpenBLAS chose its kernels for; None with another BLAS."""
    try:
        name = ctypes.CDLL("libblas.so.3").openblas_get_corename
    except (OSError, AttributeError):
        return None
    name.restype = ctypes.c_char_p
    return name().decode()


def uses_openblas() -> bool:
    """PyTorch from PyPI brings a BLAS of its own, whatever else is installed."""
    import torch

    return not torch.backends.mkl.is_available() and blas_core() is not None


def describe() -> None:
    import torch

    from modes import devices_of_modes

    say(
        torch=torch.__version__,
        modes=devices_of_modes(),
        blas="OpenBLAS" if uses_openblas() else None,
    )


def matrix_speed() -> None:
    """Of the largest common product in U-DiT-S, on one thread, and whether it is right."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    a, b = torch.randn(2048, 384), torch.randn(384, 768)
    error = ((a @ b).double() - a.double() @ b.double()).abs().max().item()
    fastest = min(timed(lambda: a @ b, 50))
    operations = 2 * 2048 * 384 * 768
    say(gflops=round(operations / fastest / 1e9, 1), correct=error < 1e-3)


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


def serve(work: Callable[[], object]) -> None:
    """The protocol of contestants: lines on stdin, one JSON line on stdout for each."""
    import torch

    # Ctrl-C and a closed terminal reach every process of it; this one is ended by the one that started it.
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):  # Windows has no SIGHUP
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    blas = {"openblas_core": blas_core()} if uses_openblas() else {}
    python = sys.version.split()[0]
    say(ready=True, torch=torch.__version__, python=python, **blas)
    for line in sys.stdin:
        if line.strip() == "quit":
            say(peak_rss_mb=round(peak_rss_mb(), 1))
            return
        if line.strip() == "run":
            begin = seconds_now()
            work()
            say(interval=[begin, seconds_now()])
        else:
            say(error=f"unknown request '{line.strip()}': send 'run' or 'quit'")


def main() -> int:
    arguments = parse_arguments()
    limit_threads(arguments.threads)
    if arguments.describe:
        describe()
        return 0
    if arguments.matrix_speed:
        matrix_speed()
        return 0
    if arguments.device == "cuda":
        compute_in_float32()
    if arguments.check:
        from check import check

        spec = json.loads(arguments.model)
        tasks = [arguments.task] if arguments.task else ["forward", "sample", "train"]
        report = check(arguments.check, spec, tasks, arguments.mode, arguments.device)
        if arguments.json:
            say(agrees=report.failures == 0, worst=report.worst)
        else:
            print("\n".join(report.lines))
        return 0 if arguments.json or report.failures == 0 else 1
    arguments.task = arguments.task or "forward"
    work = finished(iteration(arguments), arguments.device)
    timed(work, WARM_UP[arguments.task])
    if arguments.serve:
        serve(work)
        return 0
    seconds = sorted(timed(work, arguments.iterations))
    median, least = seconds[len(seconds) // 2], seconds[0]
    peak = peak_rss_mb()
    print(f"{arguments.task}: median {median:.3f} s, least {least:.3f} s, peak {peak:.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
