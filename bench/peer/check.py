"""Compares the peer with recorded numbers of the originals, so that ratios compare equal work."""

import json
from pathlib import Path
from typing import List

import torch
from torch import Tensor, nn

from diffusion import GaussianDiffusion, guided
from fixtures import Case, Spec, cases_for, read_features, read_half, read_safetensors, spec_of
from modes import ForInference, compiler_of, for_inference, for_training, precision_of
from training import Trainer

ROUNDED = 0.1  # limit of bfloat16, whose errors the large weights of fixtures magnify
TRAINING_FIXTURES = {"U-DiT": "training/udit_drop", "DiT": "training/dit_drop"}


def relative_l2(actual: Tensor, expected: Tensor) -> float:
    return ((actual.double() - expected.double()).norm() / expected.double().norm()).item()


class Report:
    """One line for each comparison, and what came closest to its limit or farthest beyond."""

    def __init__(self) -> None:
        self.failures = 0
        self.lines: List[str] = []
        self.worst = ""
        self._worst_share = -1.0

    def at_most(self, what: str, value: float, limit: float) -> None:
        passed = value <= limit  # false for NaN
        self.failures += not passed
        line = f"{what}: {value:.3g} (limit {limit:g})"
        self.lines.append(f"{'ok  ' if passed else 'FAIL'} {line}")
        share = value / limit if value == value else float("inf")
        if share > self._worst_share:
            self.worst, self._worst_share = line, share


class Peer:
    """What is checked: a model's networks in a mode on a device, which take inputs from anywhere."""

    def __init__(self, folder: Path, spec: Spec, mode: str, device: str) -> None:
        self.folder = folder
        self.spec = spec
        self.mode = mode
        self.device = device
        self.is_rounded = mode.endswith("bf16")

    def cases(self) -> List[Case]:
        return cases_for(self.folder, self.spec)

    def network(self, case: Case, rows: int) -> ForInference:
        """For batches of so many rows."""
        example = [
            torch.cat([case.tensors[name]] * rows)[:rows].to(self.device) for name in ("x", "t", "y")
        ]
        network = for_inference(case.network().to(self.device), self.mode, example)
        return lambda *inputs: network(*(each.to(self.device) for each in inputs)).cpu()


def check_forward(report: Report, peer: Peer) -> None:
    for case in peer.cases():
        x, t, y, expected = (case.tensors[name] for name in ("x", "t", "y", "out"))
        out = peer.network(case, rows=x.shape[0])(x, t, y)
        what = f"forward of {case.name}"
        error = relative_l2(out, expected)
        report.at_most(f"{what}, rel L2", error, ROUNDED if peer.is_rounded else 2e-5)
        if not peer.is_rounded:
            report.at_most(f"{what}, max abs", (out - expected).abs().max().item(), 1e-4)


def check_sampling(report: Report, peer: Peer) -> None:
    """Guidance with the family's network; the steps of a whole trajectory with U-DiT's."""
    case = peer.cases()[0]
    x, t, y = (case.tensors[f"cfg.{name}"][:2] for name in ("x", "t", "y"))
    out = guided(peer.network(case, rows=4), y, scale=1.5, null_label=case.null_label)(x, t)
    error = relative_l2(out, case.tensors["cfg.out_1.5"][:2])
    report.at_most("guided, rel L2", error, ROUNDED if peer.is_rounded else 2e-5)
    if peer.spec["family"] != "U-DiT":
        return
    loop = read_safetensors(peer.folder / "diffusion" / "loop_ddpm10_nocfg_clip.safetensors")
    network = peer.network(case, rows=2)
    diffusion, x = GaussianDiffusion(steps=10), loop["z"]
    for i, (noise, expected) in enumerate(zip(loop["noises"], loop["samples"])):
        before = x if i == 0 else loop["samples"][i - 1]
        x = diffusion.sample_step(
            lambda x, t: network(x, t, loop["y"]), before, 9 - i, noise, clip=True
        )
        error = relative_l2(x, expected)
        limit = ROUNDED if peer.is_rounded else 1e-4
        report.at_most(f"step {i + 1} of 10, rel L2", error, limit)


class RecordedDropout(nn.Module):
    """A label embedder that hides the labels which a recorded training hid."""

    def __init__(self, embedder: nn.Module, rows: int):
        super().__init__()
        self.embedding_table = embedder.embedding_table
        self.classes = embedder.classes
        self.register_buffer("hidden", torch.zeros(rows, dtype=torch.bool), persistent=False)

    def forward(self, y: Tensor) -> Tensor:
        return self.embedding_table(torch.where(self.hidden, self.classes, y))


def record_dropout(model: nn.Module, rows: int) -> List[RecordedDropout]:
    names = [name for name, _ in model.named_children() if name.startswith("y_embedder")]
    for name in names:
        setattr(model, name, RecordedDropout(getattr(model, name), rows))
    return [getattr(model, name) for name in names]


def check_training(report: Report, peer: Peer) -> None:
    check_loss(report, peer.folder)
    family, mode = peer.spec["family"], peer.mode
    folder = peer.folder / TRAINING_FIXTURES[family]
    expected = json.loads((folder / "expected.json").read_text())
    batches = read_safetensors(folder / "batches.safetensors")
    batches = {name: each.to(peer.device) for name, each in batches.items()}
    weights = read_safetensors(folder / "init.safetensors")
    model = Case(folder.name, spec_of(expected["config"], family), weights, {}).network()
    embedders = record_dropout(model, batches["y"].shape[1])
    model = for_training(model.to(peer.device), mode)
    precision = precision_of(mode, peer.device)
    trainer = Trainer(model, expected["ema_decay"], compiler_of(mode), precision)
    for step, loss in enumerate(expected["losses"]):
        for embedder, dropped in zip(embedders, batches["drop_ids"][step]):
            embedder.hidden.copy_(dropped == 1)
        actual = trainer.step_at(*(batches[name][step] for name in ("x", "t", "y", "noise")))
        limit = 0.02 if peer.is_rounded else 1e-4
        report.at_most(f"loss of step {step + 1}, relative", abs(actual / loss - 1), limit)
        if step == 0:
            check_gradients(report, trainer, folder, peer.is_rounded)
    for name, averaged in (("params", trainer.model), ("ema", trainer.ema)):
        path = folder / f"{name}_step5.safetensors"
        if path.exists() and not peer.is_rounded:
            stored = read_safetensors(path)
            errors = [
                (p.cpu() - stored[key]).abs().flatten() for key, p in averaged.named_parameters()
            ]
            check_parameters(report, f"{name} after 5 steps", errors)


def check_gradients(report: Report, trainer: Trainer, folder: Path, rounded: bool) -> None:
    expected = read_safetensors(folder / "grads_step1.safetensors")
    pairs = {
        name: (parameter.grad.cpu(), expected[name])
        for name, parameter in trainer.model.named_parameters()
        if parameter.requires_grad
    }
    if rounded:
        actual, recorded = (torch.cat([pair[i].flatten() for pair in pairs.values()]) for i in (0, 1))
        report.at_most("all gradients, rel L2", relative_l2(actual, recorded), 0.1)
        return
    errors = {name: relative_l2(*pair) for name, pair in pairs.items() if pair[1].norm() > 1e-6}
    worst = max(errors, key=lambda name: errors[name])
    report.at_most(f"{len(errors)} gradients, worst rel L2 ({worst})", errors[worst], 1e-4)


def check_parameters(report: Report, what: str, errors: List[Tensor]) -> None:
    """Adam normalises gradients that are only rounding noise, so a few elements may differ."""
    error = torch.cat(errors)
    over = (error > 1e-5).double().mean().item()
    report.at_most(f"{what}, share of elements off by more than 1e-5", over, 1e-3)
    report.at_most(f"{what}, max abs", error.max().item(), 1e-3)


def check_loss(report: Report, folder: Path) -> None:
    """The loss of a given network output, t = 0 included, which the training fixtures leave out."""
    case = read_safetensors(folder / "diffusion" / "steps_and_losses.safetensors")
    loss = GaussianDiffusion().loss(
        lambda x_t, t, y: case["net_out8"], case["x_start"], case["t"], None, case["noise"]
    )
    error = (loss / case["linear.loss"] - 1).abs().max().item()
    report.at_most(f"loss at t = {case['t'].tolist()}, worst relative", error, 1e-5)


def check_half(report: Report, peer: Peer, task: str) -> None:
    """A half of the recorded autoencoder of the family, whose weights are of a formula."""
    x, expected, half = read_half(peer.folder / "vae", peer.spec["family"], task)
    x = x.to(peer.device)
    out = for_inference(half.to(peer.device), peer.mode, [x])(x).cpu()
    report.at_most(f"{task}, rel L2", relative_l2(out, expected), ROUNDED if peer.is_rounded else 2e-5)


def check_features(report: Report, peer: Peer) -> None:
    """The recorded network of the family, whose weights are of a formula."""
    x, expected, network = read_features(peer.folder / "eval", peer.spec)
    x = x.to(peer.device)
    out = for_inference(network.to(peer.device), peer.mode, [x])(x)
    found = {"class token": out} if torch.is_tensor(out) else {"features": out[0], "logits": out[2]}
    for name, recorded in expected.items():
        limit = ROUNDED if peer.is_rounded else 1e-4
        report.at_most(f"{name}, rel L2", relative_l2(found[name].cpu(), recorded), limit)


CHECKS = {
    "forward": check_forward,
    "sample": check_sampling,
    "train": check_training,
    "encode": lambda report, peer: check_half(report, peer, "encode"),
    "decode": lambda report, peer: check_half(report, peer, "decode"),
    "features": check_features,
}


def check(folder: Path, spec: Spec, tasks: List[str], mode: str, device: str) -> Report:
    report = Report()
    peer = Peer(folder, spec, mode, device)
    for task in tasks:
        CHECKS[task](report, peer)
    return report
