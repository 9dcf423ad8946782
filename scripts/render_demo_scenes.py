"""Renders the demo's pictures: portraits and group scenes of people who do not exist.

    fo-faceanon weights get mobilestylegan-ffhq && fo-faceanon weights get bisenet
    python scripts/render_demo_scenes.py

Writes JPEGs to ``fo_faceanon/data/demo``. Needs the ``bank`` extra. The people are not in the starter bank: their seeds differ.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch

from fo_faceanon.donors.render import Generator
from fo_faceanon.networks.bisenet import CLASSES, BiSeNet
from fo_faceanon.weights import require_weight

OUT = Path(__file__).resolve().parent.parent / "fo_faceanon" / "data" / "demo"
PORTRAITS, SCENES = 24, 12
FIRST_SEED = 9_000_000
SCENE = (720, 1280)


def load_parser() -> BiSeNet:
    """The face parser, which cuts people out of their backgrounds."""
    net = BiSeNet()
    net.load_state_dict(torch.load(require_weight("bisenet", "79999_iter.pth"), map_location="cpu", weights_only=True))
    return net.eval()


@torch.inference_mode()
def person_alpha(net: BiSeNet, picture: np.ndarray) -> np.ndarray:
    """``512 x 512`` float in ``[0, 1]``: how much of each pixel is the person, soft at the edge."""
    pixels = torch.from_numpy(picture.transpose(2, 0, 1).copy())[None].float() / 255
    probability = net(pixels).softmax(1)[0, CLASSES.index("background")].numpy()
    alpha = cv2.GaussianBlur(1 - probability, (0, 0), 1.5)
    fade = np.clip((np.arange(512) - 2) / 24, 0, 1)  # people cut off by the frame's left and right edge fade out
    return (np.clip((alpha - 0.3) / 0.5, 0, 1) * fade * fade[::-1]).astype(np.float32)


def scene(random: np.random.Generator, pictures: list[np.ndarray], alphas: list[np.ndarray]) -> np.ndarray:
    """People of several sizes in front of a strongly blurred room; the nearer stand lower and in front."""
    height, width = SCENE
    room = cv2.resize(cv2.GaussianBlur(pictures[0], (0, 0), 40), (width, height), interpolation=cv2.INTER_CUBIC)
    canvas = room.astype(np.float32) * random.uniform(0.6, 0.9)
    sizes = np.sort(random.uniform(110, 430, len(pictures)))
    for number, size in enumerate(sizes.round().astype(int)):
        place = (number * 0.618 + random.uniform(0, 0.08)) % 1
        x = int(place * (width - size))
        y = height - size if size > 330 else int(height - size - (430 - size) * random.uniform(0.5, 1.1))
        y = max(y, 0)
        small = cv2.resize(pictures[number], (size, size), interpolation=cv2.INTER_AREA).astype(np.float32)
        alpha = cv2.resize(alphas[number], (size, size), interpolation=cv2.INTER_AREA)[..., None]
        bottom = np.clip((size - np.arange(size)) / (0.12 * size), 0, 1)[:, None, None] if y + size < height else 1.0
        region = canvas[y : y + size, x : x + size]
        region[:] = region * (1 - alpha * bottom) + small * alpha * bottom
    noise = random.normal(0, 2.0, canvas.shape)
    return np.clip(canvas + noise, 0, 255).astype(np.uint8)


def write(name: str, picture: np.ndarray) -> None:
    """A JPEG without metadata."""
    cv2.imwrite(str(OUT / name), picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])


def main() -> None:
    """Renders everything."""
    OUT.mkdir(parents=True, exist_ok=True)
    generator, net, random = Generator(whole=True), load_parser(), np.random.default_rng(FIRST_SEED)
    counts = [PORTRAITS, *random.integers(2, 8, SCENES).tolist()]
    latents = np.stack([generator.latent(FIRST_SEED + i) for i in range(sum(counts))])
    pictures = list(generator.render(latents))
    for i in range(PORTRAITS):
        write(f"portrait_{i:02d}.jpg", pictures[i])
    start = PORTRAITS
    for i, count in enumerate(counts[1:]):
        people = pictures[start : start + count]
        write(f"group_{i:02d}.jpg", scene(random, people, [person_alpha(net, p) for p in people]))
        start += count


if __name__ == "__main__":
    main()
