"""Faces per second of the methods that draw faces with a network, stage by stage and side by side, on a CPU thread or a GPU.

    python benchmarks/generators.py [--device cuda] [--batch 256] [--weights landmark68=FILE ...] [--out results/generators_cpu.json]

A method without weights runs an untrained network of the default size, which is as fast. The face is the astronaut's of
scikit-image. On a CPU the time of this thread counts, so that other jobs on the machine do not.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from skimage.data import astronaut
from torch import Tensor, nn

from fo_faceanon.anonymizers.base import replacement_alpha
from fo_faceanon.anonymizers.generator import finish, half_precision, hide, place
from fo_faceanon.detection import create_detector
from fo_faceanon.faces import CropBatch, apply_affine
from fo_faceanon.landmarks.canonical import canonical_frame
from fo_faceanon.landmarks.dlib68 import Dlib68
from fo_faceanon.landmarks.drawing import draw_mesh
from fo_faceanon.networks.files import save_generator
from fo_faceanon.networks.inpainting import InpaintingConfig, InpaintingGenerator
from fo_faceanon.networks.mesh_generator import MeshConfig, MeshGenerator
from fo_faceanon.registry import method_info
from fo_faceanon.weights.generators import GENERATORS, find_generator
from fo_faceanon.windows import cut_windows, window_of

Stages = dict[str, Callable[[], Any]]


def batch_of(count: int, surroundings: bool, device: str) -> CropBatch:
    """Windows of one face, ``count`` times."""
    photograph = astronaut()
    face = create_detector("mtcnn", device="cpu", min_face=40)([photograph])[0][0]
    face = face.with_landmarks(Dlib68()(photograph, [face])[0])
    assert face.landmarks is not None
    window = window_of(face, surroundings)
    return cut_windows([photograph] * count, [face] * count, [window] * count, list(range(count)), [None] * count, device)


def create(name: str, weights: str | None, device: str) -> Any:
    """A method, with an untrained network where there are no weights."""
    factory = method_info(name).load()
    if weights or find_generator(name):
        return factory(device=device, weights=weights)
    torch.manual_seed(0)
    network = MeshGenerator(MeshConfig()) if name == "mesh478" else InpaintingGenerator(InpaintingConfig(points=68 if "68" in name else 7))
    with tempfile.TemporaryDirectory() as folder:
        save_generator(f"{folder}/{name}.safetensors", network, {})
        return factory(device=device, weights=f"{folder}/{name}.safetensors")


def inpainting_stages(method: Any, batch: CropBatch) -> tuple[Stages, nn.Module, tuple[Tensor, ...]]:
    """What ``landmark68`` and ``sparse7`` do, one after the other; the network and its inputs."""
    side, size = batch.pixels.shape[-1], method.network.config.size
    alpha, frame = replacement_alpha(batch), canonical_frame(batch.landmarks, size)
    picture, hidden = hide(batch, alpha, frame, size)
    noise = torch.stack([method._noise(seed, None) for seed in batch.seeds]).to(picture)
    inputs = (picture, hidden, method._points(apply_affine(frame, batch.landmarks)), noise)
    crops = method.draw(batch, alpha, frame)
    made = place(crops, frame, side)
    stages: Stages = {
        "region to replace": lambda: replacement_alpha(batch),
        "crop with the face hidden": lambda: hide(batch, alpha, frame, size),
        "network": lambda: _run(method.network, inputs, half_precision(picture)),
        "back into the window": lambda: place(crops, frame, side),
        "light, colour, grain": lambda: finish(made, batch, method.photometry),
    }
    return stages, method.network, inputs


def mesh_stages(method: Any, batch: CropBatch) -> tuple[Stages, nn.Module, tuple[Tensor, ...]]:
    """What ``mesh478`` does, one after the other; the network and its input."""
    side, size = batch.pixels.shape[-1], method.network.config.size
    frame = canonical_frame(batch.landmarks, size)
    points = apply_affine(frame, method.landmarker.mark_windows(batch.pixels, batch.landmarks, batch.boxes)[0][..., :2])
    drawing, crops = draw_mesh(points, size), method.draw(points)
    made = place(crops, frame, side)
    stages: Stages = {
        "region to replace": lambda: replacement_alpha(batch),
        "478 points": lambda: method.landmarker.mark_windows(batch.pixels, batch.landmarks, batch.boxes),
        "drawing": lambda: draw_mesh(points, size),
        "network": lambda: _run(method.network, (drawing,), half_precision(drawing)),
        "back into the window": lambda: place(crops, frame, side),
        "light, colour, grain": lambda: finish(made, batch, method.photometry),
    }
    return stages, method.network, (drawing,)


def _run(network: nn.Module, inputs: tuple[Tensor, ...], precision: AbstractContextManager[Any]) -> Tensor:
    with precision:
        return network(*inputs)


def seconds(call: Callable[[], Any], device: str, rounds: int) -> float:
    """The best of several rounds, after one that does not count."""
    clock = time.thread_time if device == "cpu" else time.perf_counter
    times = []
    for _ in range(rounds + 1):
        started = clock()
        call()
        if device != "cpu":
            torch.cuda.synchronize()
        times.append(clock() - started)
    return min(times[1:])


def network_variants(network: nn.Module, inputs: tuple[Tensor, ...], device: str, rounds: int) -> dict[str, float]:
    """Faces per second of the network alone, by precision and memory layout."""
    kind, count, rates = torch.device(device).type, len(inputs[0]), {}
    for layout, memory in (("", torch.contiguous_format), (" channels last", torch.channels_last)):
        network.to(memory_format=memory)
        laid = tuple(x.contiguous(memory_format=memory) if x.ndim == 4 else x for x in inputs)
        for precision, context in (("float32", nullcontext()), ("bfloat16", torch.autocast(kind, torch.bfloat16))):
            rates[precision + layout] = count / seconds(partial(_run, network, laid, context), device, rounds)
    network.to(memory_format=torch.contiguous_format)
    return rates


@torch.inference_mode()
def measure(name: str, weights: str | None, device: str, count: int, rounds: int) -> dict[str, Any]:
    """Milliseconds a face of every stage and of the whole method, and rates of the network alone."""
    method = create(name, weights, device)
    batch = batch_of(count, name != "mesh478", device)
    stages, network, inputs = (mesh_stages if name == "mesh478" else inpainting_stages)(method, batch)
    spent = {stage: 1e3 * seconds(call, device, rounds) / count for stage, call in stages.items()}
    whole = 1e3 * seconds(lambda: method(batch, None, [set()] * count), device, rounds) / count
    return {
        "window_px": batch.pixels.shape[-1],
        "crop_px": network.config.size,
        "parameters": sum(p.numel() for p in network.parameters()),
        "ms_per_face": spent,
        "whole_ms_per_face": whole,
        "faces_per_second": 1e3 / whole,
        "network_faces_per_second": network_variants(network, inputs, device, rounds),
    }


def table(results: dict[str, dict[str, Any]]) -> str:
    """Markdown: milliseconds a face and the share of the whole, per stage; then rates."""
    stages = list(dict.fromkeys(stage for result in results.values() for stage in result["ms_per_face"]))
    lines = ["| | " + " | ".join(results) + " |", "|---" * (len(results) + 1) + "|"]
    for stage in stages:
        cells = []
        for result in results.values():
            value = result["ms_per_face"].get(stage)
            cells.append("-" if value is None else f"{value:.2f} ({100 * value / result['whole_ms_per_face']:.0f} %)")
        lines.append(f"| {stage} | " + " | ".join(cells) + " |")
    first = next(iter(results.values()))["faces_per_second"]
    rates = [f"{r['faces_per_second']:.1f} (x {r['faces_per_second'] / first:.2f})" for r in results.values()]
    lines.append("| **faces a second** | " + " | ".join(rates) + " |")
    for variant in next(iter(results.values()))["network_faces_per_second"]:
        values = [(r["network_faces_per_second"], r["network_faces_per_second"]["float32"]) for r in results.values()]
        lines.append(f"| network, {variant} | " + " | ".join(f"{v[variant]:.1f} (x {v[variant] / base:.2f})" for v, base in values) + " |")
    return "\n".join(lines)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, help="faces at once; 1 on a CPU, as the package does it, else 64")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--weights", action="append", default=[], help="METHOD=FILE; may be repeated")
    parser.add_argument("--out", type=Path, help="where the results go, as JSON")
    args = parser.parse_args()
    torch.set_num_threads(1)
    given = dict(pair.split("=", 1) for pair in args.weights)
    count = args.batch or (1 if args.device == "cpu" else 64)
    results = {name: measure(name, given.get(name), args.device, count, args.rounds) for name in GENERATORS}
    where = "one CPU thread" if args.device == "cpu" else torch.cuda.get_device_name()
    print(f"{where}, batches of {count}, torch {torch.__version__}\n\n{table(results)}")
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        report = {"device": where, "batch": count, "torch": torch.__version__, "methods": results}
        args.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
