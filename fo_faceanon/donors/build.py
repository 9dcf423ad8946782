"""Building a donor bank: render, describe, drop what is unusable, keep what covers most."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from fo_faceanon.donors.bank import INDEX, SIDE, write_bank
from fo_faceanon.donors.choose import spread, voted, without_duplicates
from fo_faceanon.donors.dark_glasses import behind_dark_glasses
from fo_faceanon.donors.describe import Description, FaceDescriber, light_grid
from fo_faceanon.donors.steer import Steering
from fo_faceanon.donors.wanted import features_of, wanted_features
from fo_faceanon.errors import InputError, OutputError
from fo_faceanon.faces import Face
from fo_faceanon.landmarks.landmarks68 import Landmarks68

#: WebP quality of a stored donor: about 9 KB for 256 x 256 px.
QUALITY = 82
#: Identities closer than this (cosine of the guide) are the same person to a bank.
DUPLICATE = 0.97
#: The head's box in a rendered picture, in pixels: the generator's faces are aligned.
_BOX = (44.0, 40.0, 212.0, 228.0)
#: Landmarks must lie this far inside the picture, in pixels: the soft edge around the face shows what is beyond them.
_MARGIN = 4.0
#: Fractions of the face that may be covered, by what the parser sees there.
MAX_HAIR, MAX_HAT, MAX_SUNGLASSES = 0.10, 0.01, 0.5
#: Fraction of the face from which the parser's glasses are glasses.
GLASSES = 0.01
#: Share of a bank that is chosen for the wanted faces, where there are any; the rest covers what else faces look like.
VOTED = 0.75
#: ``done, total, what``
Progress = Callable[[int, int, str], None]


@dataclass(slots=True)
class Candidate:
    """A rendered face: its picture as WebP, its latent, its landmarks and a cheap description of it."""

    encoded: bytes
    latent: np.ndarray
    landmarks: np.ndarray
    features: np.ndarray
    measured: np.ndarray
    glasses: bool = False  # as the parser sees it


class CandidateReader:
    """Turns rendered pictures into candidates; None for those without a plausible face."""

    def __init__(self, describer: FaceDescriber) -> None:
        self._describer = describer
        self._landmarker = Landmarks68()

    @torch.inference_mode()
    def __call__(self, picture: np.ndarray, latent: np.ndarray) -> Candidate | None:
        landmarks = self._landmarker(picture, [Face(_BOX)])[0]
        if landmarks is None or landmarks.min() < _MARGIN or landmarks.max() > SIDE - 1 - _MARGIN:
            return None
        pixels, points = as_tensor(picture), torch.from_numpy(landmarks)[None]
        found = self._describer.attributes(pixels, points)
        light, skin = light_grid(pixels, points)
        probability = float(found.sunglasses[0])
        if probability > MAX_SUNGLASSES or behind_dark_glasses(picture, landmarks, probability):
            return None
        left, right = light.view(3, 6, 6)[0, 1:5, :3].mean(), light.view(3, 6, 6)[0, 1:5, 3:].mean()
        features = features_of(found, points, light, skin)[0].numpy()
        measured = torch.cat([found.pose[0, :2], found.expression[0], found.age, found.male, skin[0], (left - right)[None]]).numpy()
        if not (np.isfinite(features).all() and np.isfinite(measured).all()):
            return None
        return Candidate(encode_picture(picture), latent.astype(np.float16), landmarks, features, measured)


def as_tensor(picture: np.ndarray) -> Tensor:
    """``1 x 3 x H x W`` float32 in ``[0, 1]`` of an ``H x W x 3`` uint8 picture."""
    return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))[None].float() / 255


def encode_picture(picture: np.ndarray) -> bytes:
    """WebP bytes of an RGB picture."""
    done, data = cv2.imencode(".webp", np.ascontiguousarray(picture[..., ::-1]), [cv2.IMWRITE_WEBP_QUALITY, QUALITY])
    if not done:
        raise OutputError("this OpenCV cannot write WebP: install opencv-python-headless again")
    return data.tobytes()


def decode_picture(data: bytes) -> np.ndarray:
    """The RGB picture that :func:`encode_picture` wrote."""
    return np.ascontiguousarray(np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))[..., ::-1])


def render_candidates(count: int, seed: int, describer: FaceDescriber, progress: Progress) -> list[Candidate]:
    """Candidates from the generator: three fifths at random, the rest steered towards what is rare among those."""
    from fo_faceanon.donors.render import Generator

    generator, reader = Generator(), CandidateReader(describer)
    first = count * 3 // 5
    found: list[Candidate] = []

    def add(latents: np.ndarray) -> None:
        for latent, picture in zip(latents, generator.render(latents), strict=True):
            candidate = reader(picture, latent)
            if candidate is not None:
                found.append(candidate)

    for start in range(0, count, 100):
        latents = np.stack([generator.latent(seed * 10**7 + i) for i in range(start, min(start + 100, count))])
        if start >= first and len(found) > 600:
            latents = _steering(found, first).steer(latents, seed + start)
        add(latents)
        progress(min(start + 100, count), count, "rendering")
    return found


def _steering(found: list[Candidate], first: int) -> Steering:
    known = found[:first]
    return Steering(np.stack([c.latent for c in known]).astype(np.float64), np.stack([c.measured for c in known]).astype(np.float64))


def choose_candidates(
    candidates: list[Candidate], size: int, seed: int, progress: Progress, wanted: Tensor | None = None
) -> list[Candidate]:
    """The candidates that go into the bank: unoccluded, near to the wanted faces (``Q x D`` features), covering the rest."""
    clean = list(_unoccluded(_choose(candidates, int(size * 1.5), seed, wanted), progress))
    return _choose(clean, size, seed, wanted)


def _choose(candidates: list[Candidate], size: int, seed: int, wanted: Tensor | None) -> list[Candidate]:
    if len(candidates) <= size:
        return candidates
    features = torch.from_numpy(np.stack([c.features for c in candidates]))
    named = voted(features, wanted, int(size * VOTED)) if wanted is not None else torch.zeros(0, dtype=torch.long)
    unnamed = torch.ones(len(candidates), dtype=torch.bool)
    unnamed[named] = False
    others = unnamed.nonzero()[:, 0]
    others = others[spread(features[others], size - len(named), seed=seed)]
    return [candidates[i] for i in torch.cat([named, others]).sort().values.tolist()]


def _unoccluded(candidates: list[Candidate], progress: Progress) -> Iterator[Candidate]:
    from fo_faceanon.donors.occlusion import OcclusionParser

    parser = OcclusionParser()
    for number, candidate in enumerate(candidates):
        cover = parser(decode_picture(candidate.encoded), candidate.landmarks)
        if cover.hair <= MAX_HAIR and cover.hat <= MAX_HAT:
            candidate.glasses = cover.glasses > GLASSES
            yield candidate
        if number % 50 == 0:
            progress(number, len(candidates), "parsing")
    progress(len(candidates), len(candidates), "parsing")


def describe_bank(chosen: list[Candidate], describer: FaceDescriber, progress: Progress) -> tuple[list[bytes], Tensor, Description]:
    """Everything a bank stores: pictures, their landmarks and descriptions; donors that look like an earlier one are dropped."""
    parts: list[Description] = []
    for number, candidate in enumerate(chosen):
        pixels = as_tensor(decode_picture(candidate.encoded))
        parts.append(describer(pixels, torch.from_numpy(candidate.landmarks)[None]))
        if number % 50 == 0:
            progress(number, len(chosen), "describing")
    progress(len(chosen), len(chosen), "describing")
    description = Description.cat(parts)
    # thin frames escape the attribute network, and a guide finds whoever wears them unlike whoever does not
    description.glasses = torch.maximum(description.glasses, torch.tensor([float(candidate.glasses) for candidate in chosen]))
    kept = without_duplicates(description.identity, DUPLICATE)
    landmarks = torch.from_numpy(np.stack([candidate.landmarks for candidate in chosen]))
    return [chosen[i].encoded for i in kept.tolist()], landmarks[kept], description[kept]


def build_bank(
    out: Path | str,
    size: int = 3800,
    candidates: int = 20000,
    seed: int = 1,
    progress: Progress | None = None,
    like: Path | str | None = None,
) -> Path:
    """Renders and writes a donor bank.

    Args:
        out: its folder; must not hold a bank.
        size: donors wanted.
        candidates: faces rendered to choose from; at least ``size``.
        seed: another seed gives other people.
        progress: called with ``done, total, what``.
        like: a folder of photographs; donors are chosen for faces like those in them. Nothing of them goes into the bank.

    Returns:
        The folder.

    Raises:
        InputError: the numbers make no sense, or there is no face in ``like``.
        OutputError: the folder holds a bank already.
        WeightsError: OpenVINO, the generator or the face parser is missing.
    """
    folder = Path(out)
    if (folder / INDEX).exists():
        raise OutputError(f"{folder} holds a donor bank already: choose another folder, or remove it first")
    if not 1 <= size <= candidates:
        raise InputError(f"size must be between 1 and the number of candidates ({candidates}), but got {size}")
    report = progress or (lambda done, total, what: None)
    describer = FaceDescriber()
    wanted = wanted_features(like, describer, report) if like is not None else None
    rendered = render_candidates(candidates, seed, describer, report)
    return finish_bank(folder, rendered, size, seed, describer, report, candidates, wanted)


def finish_bank(
    folder: Path,
    rendered: Iterable[Candidate],
    size: int,
    seed: int,
    describer: FaceDescriber,
    report: Progress,
    rendered_count: int,
    wanted: Tensor | None = None,
) -> Path:
    """Chooses among rendered candidates and writes the bank."""
    chosen = choose_candidates(list(rendered), size, seed, report, wanted)
    encoded, landmarks, description = describe_bank(chosen, describer, report)
    card: dict[str, object] = {
        "donors": len(encoded),
        "rendered": rendered_count,
        "seed": seed,
        "generator": "MobileStyleGAN FFHQ",
        "licence": "Apache-2.0 code; FFHQ lineage: treat as non-commercial",
        "side": SIDE,
    }
    write_bank(folder, encoded, landmarks, description, describer.expression_order, card)
    return folder
