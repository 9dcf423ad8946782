"""Time of the photometric correction: milliseconds a face for a batch of crops, on one CPU thread or on a GPU."""

from __future__ import annotations

import argparse
import time

import torch

from fo_faceanon.photometry.correct import Photometry, correct
from fo_faceanon.photometry.skin import face_masks, feather


def main() -> None:
    """Prints a line per setting: the best of several rounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--side", type=int, default=384)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    shape = (args.batch, 3, args.side, args.side)
    generated, original = (torch.rand(shape, generator=generator).to(args.device) for _ in range(2))
    angle = torch.linspace(0, 6.283, 68)
    points = (torch.stack([angle.cos() * 0.3 + 0.5, angle.sin() * 0.4 + 0.5], -1) * args.side).expand(args.batch, -1, -1).to(args.device)
    masks = face_masks(points, args.side, args.side)
    size = torch.full((args.batch,), 0.55 * args.side, device=args.device)

    clock = time.thread_time if args.device == "cpu" else time.perf_counter  # other jobs on the machine must not count

    def measure(name: str, call) -> None:  # type: ignore[no-untyped-def]
        times = []
        for _ in range(args.rounds + 1):
            start = clock()
            call()
            if args.device != "cpu":
                torch.cuda.synchronize()
            times.append(clock() - start)
        print(f"{name:28s} {min(times[1:]) / args.batch * 1e3:7.2f} ms a face")

    print(f"batch {args.batch}, {args.side} px, {args.device}")
    measure("face_masks", lambda: face_masks(points, args.side, args.side))
    measure("feather 6 % of the side", lambda: feather(masks.hull, 0.06 * args.side))
    for settings in (
        Photometry(),
        Photometry(bandwidth=0.12),
        Photometry(pyramid=1.0),
        Photometry(light="intrinsic", bandwidth=0.12),
        Photometry(light="harmonics"),
        Photometry(light="none"),
    ):
        name = f"{settings.light} {settings.bandwidth:.2f}{' pyramid' if settings.pyramid else ''}"
        measure(name, lambda s=settings: correct(generated, original, masks.hull, masks.skin, size, s, points))


if __name__ == "__main__":
    main()
