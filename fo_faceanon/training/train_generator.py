"""Training a generator on packed faces, where torch and numpy are all there is::

    python -m fo_faceanon.training.train_generator --config landmark68 --data SHARDS --out RUN --minutes 25

Writes into the run's folder: ``checkpoint.pt``, ``losses.csv``, ``sheet-*.png`` and ``generator.NN`` (the averaged weights in half
precision, in pieces). ``--resume`` goes on from the checkpoint.
"""

from __future__ import annotations

import argparse
import csv
import json
import platform
import signal
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from fo_faceanon.devices import resolve_device
from fo_faceanon.errors import FaceAnonError, InputError
from fo_faceanon.training.batches import Sampler
from fo_faceanon.training.checkpoint import CHECKPOINT, export_generator, load_checkpoint, save_checkpoint
from fo_faceanon.training.config import TrainConfig, load_config
from fo_faceanon.training.gan import METRICS, Trainer, sample_faces
from fo_faceanon.training.packed import FaceSet, read_faces
from fo_faceanon.training.pictures import sheet, write_png

LOSSES = "losses.csv"
#: Faces on a sheet, and in one of its rows.
_SHEET, _ROW = 32, 4


@dataclass
class Limits:
    """When to stop, and how often to look up.

    Args:
        minutes: stop after so long; None for never.
        images: stop after so many faces shown, earlier runs counted in; None for never.
        log_steps: steps between lines of the log. Only there does the host wait for the device.
        save_minutes: between checkpoints.
    """

    minutes: float | None = None
    images: int | None = None
    log_steps: int = 50
    save_minutes: float = 3.0

    def reached(self, seconds: float, images: int) -> bool:
        """Whether it is time to stop."""
        return (self.minutes is not None and seconds > self.minutes * 60) or (self.images is not None and images >= self.images)


@dataclass
class _Mark:
    """When the log was last written."""

    time: float
    images: int
    steps: int


class Run:
    """A training run and its folder."""

    def __init__(self, trainer: Trainer, faces: FaceSet, config: TrainConfig, out: Path) -> None:
        self.trainer, self.faces, self.config, self.out = trainer, faces, config, out
        self.sampler = Sampler(faces, config.sets, config.seed + trainer.images, with_mesh=config.kind == "mesh")
        self.stopped = False
        rows = self.sampler.held_out
        spread = rows[torch.linspace(0, len(rows) - 1, min(_SHEET, len(rows))).long().to(rows.device)]
        fixed = torch.Generator(device=trainer.device).manual_seed(1)
        self.shown = trainer.task.case(self.sampler.take(spread), fixed)

    def train(self, limits: Limits) -> None:
        """Trains until a limit or a signal to stop, and leaves a checkpoint, a sheet and the exported weights."""
        trainer, start, before = self.trainer, time.monotonic(), self.trainer.seconds
        saved, logged = start, _Mark(start, trainer.images, trainer.steps)
        while not self.stopped:
            trainer.step(self.sampler)
            now = time.monotonic()
            self.stopped = self.stopped or limits.reached(now - start, trainer.images)
            if self.stopped or trainer.steps - logged.steps == limits.log_steps:
                values = self._measure(trainer.steps - logged.steps)
                now = time.monotonic()
                trainer.seconds = before + now - start
                self._log(values, (trainer.images - logged.images) / (now - logged.time))
                logged = _Mark(now, trainer.images, trainer.steps)
            if self.stopped or now - saved > limits.save_minutes * 60:
                self.save()
                saved = time.monotonic()

    def save(self) -> None:
        """A checkpoint, a sheet, and the averaged generator in pieces."""
        save_checkpoint(self.out, self.trainer.state())
        export_generator(self.out, self.trainer.average, self.config.kind, self.card())
        hidden = self.shown.real * (1 - self.shown.region)
        made = [sample_faces(self.trainer, self.shown, seed) for seed in (1, 2)]
        write_png(self.out / f"sheet-{self.trainer.images:08d}.png", sheet([hidden, *made, self.shown.real], _ROW))

    def card(self) -> dict[str, Any]:
        """What a model card says that the run knows itself."""
        counts = self.faces.counts()
        used = {name: n for name, n in counts.items() if not self.config.sets or self.config.sets.get(name)}
        device = self.trainer.device
        return {
            "sets": used,
            "synthetic_only": set(used) <= self.faces.synthetic,
            "faces": sum(used.values()),
            "images_seen": self.trainer.images,
            "hours": round(self.trainer.seconds / 3600, 3),
            "hardware": torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU ({platform.machine()})",
            "precision": "bfloat16" if self.trainer.half else "float32",
            "torch": torch.__version__,
            "config": asdict(self.config),
        }

    def _measure(self, steps: int) -> dict[str, float]:
        sums = self.trainer.sums.tolist()  # the one place that waits for the device
        self.trainer.sums.zero_()
        values = {name: value / steps for name, value in zip(METRICS, sums, strict=True)}
        values["penalty"] *= self.config.penalty_every
        if not all(abs(v) < float("inf") for v in values.values()):
            raise InputError(
                f"training diverged before face {self.trainer.images}: {values}; the last checkpoint is in {self.out}. "
                "Go on from it with a smaller rate or a larger gamma (--set rate=0.001)"
            )
        return values

    def _log(self, values: dict[str, float], speed: float) -> None:
        row = {"images": self.trainer.images, "seconds": round(self.trainer.seconds, 1), "images_per_second": round(speed, 1)}
        row |= {name: round(value, 5) for name, value in values.items()}
        path = self.out / LOSSES
        fresh = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.DictWriter(file, row)
            if fresh:
                writer.writeheader()
            writer.writerow(row)
        print(" ".join(f"{name} {value}" for name, value in row.items()), flush=True)


def start_run(
    config: TrainConfig,
    data: Path,
    out: Path,
    device: str = "auto",
    resume: bool = False,
    compiled: bool = False,
    half: bool | None = None,
    smaller: Path | None = None,
) -> Run:
    """Reads the faces, builds the networks, and takes up an earlier run's state where asked.

    Args:
        config: the run.
        data: folder of packed shards.
        out: the run's folder.
        device: ``auto``, or a torch device name.
        resume: goes on from the checkpoint in ``out``.
        compiled: uses ``torch.compile``.
        half: computes in bfloat16; None for on a GPU only.
        smaller: folder of a run at half the size to grow from.

    Raises:
        InputError: the data cannot be used, the folder holds a run that is not to be resumed, or one to resume is missing.
    """
    where = torch.device(resolve_device(device))
    if (out / CHECKPOINT).exists() and not resume:
        raise InputError(f"{out} holds a training run: go on with it (--resume), or choose another folder")
    out.mkdir(parents=True, exist_ok=True)
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    faces = read_faces(data, [name for name, weight in config.sets.items() if weight], where, config.min_known)
    faces = faces if config.size is None else faces.reduced(config.size)
    trainer = Trainer(config, faces.pictures.shape[-1], where, where.type == "cuda" if half is None else half, compiled)
    if resume:
        trainer.restore(load_checkpoint(out, where))
    elif smaller is not None:
        trainer.grow_from(load_checkpoint(smaller, where))
    (out / "config.json").write_text(json.dumps(asdict(config), indent=1))
    return Run(trainer, faces, config, out)


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="landmark68", help="landmark68, sparse7, mesh478, or a JSON file")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="change one setting (repeat)")
    parser.add_argument("--data", type=Path, required=True, help="folder of packed shards")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--images", type=int, help="stop after so many faces shown")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--grow-from", type=Path, metavar="RUN", help="a run at half the size with twice the widths, to begin with")
    parser.add_argument("--compile", action="store_true", help="torch.compile: a slow start, then faster steps on a GPU")
    parser.add_argument("--precision", choices=("auto", "float32", "bfloat16"), default="auto", help="auto: bfloat16 on a GPU")
    parser.add_argument("--threads", type=int, help="CPU threads")
    parser.add_argument("--log-steps", type=int, default=50)
    parser.add_argument("--save-minutes", type=float, default=3.0)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains; see the module's text."""
    args = parse_arguments(arguments)
    if args.threads:
        torch.set_num_threads(args.threads)
    half = None if args.precision == "auto" else args.precision == "bfloat16"
    try:
        config = load_config(args.config, args.set)
        run = start_run(config, args.data, args.out, args.device, args.resume, args.compile, half, args.grow_from)
        signal.signal(signal.SIGTERM, lambda *_: setattr(run, "stopped", True))
        print(json.dumps(run.faces.counts()), flush=True)
        run.train(Limits(args.minutes, args.images, args.log_steps, args.save_minutes))
    except FaceAnonError as error:
        raise SystemExit(f"error: {error}") from error


if __name__ == "__main__":
    main()
