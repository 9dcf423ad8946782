"""The core: images in, anonymized images and a record of every face out. No files, no datasets."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fo_faceanon.anonymizers.base import Method
from fo_faceanon.detection import Detector, confirming_face, create_detector, same_face
from fo_faceanon.devices import one_thread, resolve_device
from fo_faceanon.donors.describe import Description, FaceDescriber
from fo_faceanon.errors import FaceAnonError, InputError
from fo_faceanon.faces import AddedFaces, CropBatch, Face
from fo_faceanon.identity import IdentityCheck, Verdict
from fo_faceanon.landmarks.landmarks68 import Landmarks68
from fo_faceanon.records import FaceRecord
from fo_faceanon.registry import create_method, method_info
from fo_faceanon.windows import Window, cut_windows, paste_window, window_of

#: What is tried, in order, until a face passes: the first is the method asked for.
_CHAINS = {
    "donor": ("donor", "donor", "donor", "donor", "ksame", "mask"),
    "ksame": ("ksame", "ksame", "mask"),
    "landmark68": ("landmark68", "landmark68", "landmark68", "ksame", "mask"),
    "sparse7": ("sparse7", "sparse7", "sparse7", "ksame", "mask"),
    "mesh478": ("mesh478", "ksame", "mask"),  # the same points always give the same face
    "mask": ("mask",),
}
#: Methods that draw from what surrounds the face, and need more of it in their windows.
_FROM_SURROUNDINGS = ("landmark68", "sparse7")
IDENTITY_MODES = ("fresh", "consistent")
#: A donor's result that the guides find more alike than this (about a third of all results) is weighed against another donor's.
_ALIKE = 1.0
#: How many more donors are weighed.
_SEARCHES = 1
#: Faces made at once. On a CPU one at a time is as fast, and makes a face's bytes independent of its neighbours.
_GPU_BATCH = 64


@dataclass(slots=True)
class AnonymizedImage:
    """One image's outcome.

    ``pixels``: ``H x W x 3`` uint8. ``mask``: ``H x W`` bool, true where pixels were allowed to change; all others are
    bit-identical to the input. ``faces``: one record per face found. ``error``: why the image must not be used; None where it may.
    """

    pixels: np.ndarray
    mask: np.ndarray
    faces: list[FaceRecord] = field(default_factory=list)
    error: str | None = None


@dataclass(slots=True)
class _Job:
    """A face on its way: which image, what was tried, and in the end the pixels that passed."""

    image: int
    face: Face
    window: Window
    seed: int
    chain: tuple[str, ...]
    attempt: int = 0
    searches: int = 0
    description: Description | None = None
    exclude: set[int] = field(default_factory=set)
    reasons: list[str] = field(default_factory=list)
    verdict: Verdict | None = None
    pixels: Tensor | None = None
    alpha: Tensor | None = None

    @property
    def method(self) -> str:
        return self.chain[min(self.attempt, len(self.chain) - 1)]

    @property
    def pending(self) -> bool:
        """Whether to try (again): nothing has passed yet, or what has passed is more like its original than it need be."""
        if self.pixels is None:
            return self.attempt < len(self.chain)
        alike = self.verdict is not None and self.verdict.likeness > _ALIKE
        return alike and self.method == "donor" and self.searches <= _SEARCHES

    def offer(self, verdict: Verdict | None, pixels: Tensor, alpha: Tensor) -> None:
        """Takes a result that has passed, unless an earlier one is less like the original."""
        self.searches += 1
        if self.verdict is None or verdict is None or verdict.likeness < self.verdict.likeness:
            self.verdict, self.pixels, self.alpha = verdict, pixels, alpha

    def reject(self, reason: str) -> None:
        """A result that did not pass; it costs nothing where another one has."""
        if self.pixels is not None:
            self.searches += 1
            return
        self.reasons.append(reason)
        self.attempt += 1


class Anonymizer:
    """Replaces every face of an image by a method, and checks each result before it is used.

    Args:
        method: a name from :func:`fo_faceanon.list_methods`.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        seed: changes every face that is made; same pixels, method, version and seed give the same bytes.
        identity_mode: ``fresh``, a new face each time; ``consistent``, look-alike faces for the same :attr:`Face.person`.
        salt: the secret that ties persons to their fakes in the consistent mode; required there.
        detector: ``union`` (all that are installed), ``mtcnn``, ``dlib``, ``yunet``.
        min_face: smallest face that is looked for, in pixels.
        dials: of the method: see its class.

    Raises:
        InputError: an argument is unknown or out of range.
        WeightsError: the method's weights, or those of detection and verification, are missing: before the first image.
    """

    def __init__(
        self,
        method: str = "donor",
        *,
        device: str = "auto",
        seed: int = 0,
        identity_mode: str = "fresh",
        salt: str | None = None,
        detector: str = "union",
        min_face: int = 16,
        **dials: Any,
    ) -> None:
        if identity_mode not in IDENTITY_MODES:
            raise InputError(f"identity_mode must be one of {', '.join(IDENTITY_MODES)}, but got {identity_mode!r}")
        if identity_mode == "consistent" and not salt:
            raise InputError("the consistent identity mode needs a secret salt: whoever knows it can follow a person across images")
        self.device = resolve_device(device)
        self.method = method
        self.seed = int(seed)
        self.identity_mode = identity_mode
        self._salt = (salt or "").encode()
        self._detector_name, self._min_face = detector, min_face
        self._detector: Detector | None = None
        self._landmarker = Landmarks68(self.device)
        self._dials = dials
        self._methods: dict[str, Method] = {}
        self._describer: FaceDescriber | None = None
        for name in _chain_of(method):
            self._method(name)
        self._identity = IdentityCheck(self.device)

    def _method(self, name: str) -> Method:
        """A method, made when it is first asked for."""
        if name not in self._methods:
            self._methods[name] = create_method(name, self.device, self._dials_of(name))
            if self._methods[name].describes and self._describer is None:
                self._describer = FaceDescriber(self.device)
        return self._methods[name]

    def _dials_of(self, name: str) -> dict[str, Any]:
        """A fallback gets the dials that it shares with the method asked for."""
        if name == self.method:
            return self._dials
        known = getattr(method_info(name).load(), "DIALS", ()) if name == "ksame" else ()
        return {dial: value for dial, value in self._dials.items() if dial in known}

    def detect(self, images: Sequence[np.ndarray]) -> list[list[Face]]:
        """The faces of each image, without landmarks."""
        if self._detector is None:
            self._detector = create_detector(self._detector_name, device=self.device, min_face=self._min_face)
        return self._detector(images)

    def __call__(self, images: Sequence[np.ndarray], faces: Sequence[Sequence[Face] | None] | None = None) -> list[AnonymizedImage]:
        """Anonymizes images.

        Args:
            images: ``H x W x 3`` uint8 RGB arrays of any sizes; not modified.
            faces: per image, the faces to anonymize; None (for one, or altogether) to detect them, :class:`AddedFaces` to detect
                the others.

        Returns:
            One outcome per image. A problem with one image never touches the others: it is in that image's ``error``.

        Raises:
            InputError: an image is not such an array, or ``faces`` is of another length.
        """
        with one_thread() if self.device == "cpu" else nullcontext():
            return self._anonymize(images, self._given(images, faces))

    def _anonymize(self, images: Sequence[np.ndarray], given: list[Sequence[Face]]) -> list[AnonymizedImage]:
        results = [AnonymizedImage(image.copy(), np.zeros(image.shape[:2], bool)) for image in images]
        jobs: list[_Job] = []
        for i, image in enumerate(images):
            try:
                jobs += self._plan(i, image, given[i])
            except FaceAnonError as error:
                results[i].error = str(error)
        self._run(jobs, images)
        for job in sorted(jobs, key=lambda j: -j.window.side):
            self._finish(job, results[job.image])
        return results

    def _given(self, images: Sequence[np.ndarray], faces: Sequence[Sequence[Face] | None] | None) -> list[Sequence[Face]]:
        for i, image in enumerate(images):
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
                raise InputError(f"image {i} must be a non-empty H x W x 3 uint8 array, but got shape {image.shape} of {image.dtype}")
        if faces is not None and len(faces) != len(images):
            raise InputError(f"faces must have one entry per image: {len(images)}, but got {len(faces)}")
        known: list[Sequence[Face] | None] = list(faces) if faces is not None else [None] * len(images)
        missing = [i for i, entry in enumerate(known) if entry is None or isinstance(entry, AddedFaces)]
        found = self.detect([images[i] for i in missing]) if missing else []
        for i, entry in zip(missing, found, strict=True):
            known[i] = _with_added(known[i] or (), entry)
        return self._with_landmarks(images, [entry if entry is not None else () for entry in known])

    def _with_landmarks(self, images: Sequence[np.ndarray], faces: list[Sequence[Face]]) -> list[Sequence[Face]]:
        """Landmarks where there are none yet.

        A user's box may be loose, tight or off, and landmarks placed from it would be wrong without looking wrong: they are placed
        from the box of a detector that finds a face there; where none does, the face has no landmarks.
        """
        loose = [i for i, entry in enumerate(faces) if any(_needs_landmarks(f) and f.detector == "user" for f in entry)]
        found = dict(zip(loose, self.detect([images[i] for i in loose]), strict=True)) if loose else {}
        marked: list[Sequence[Face]] = []
        for i, entry in enumerate(faces):
            placed = [confirming_face(face, found.get(i, ())) if _needs_landmarks(face) else None for face in entry]
            marks = iter(self._landmarker(images[i], [box for box in placed if box is not None]))
            marked.append([face if box is None else face.with_landmarks(next(marks)) for face, box in zip(entry, placed, strict=True)])
        return marked

    def _plan(self, number: int, image: np.ndarray, faces: Sequence[Face]) -> list[_Job]:
        digest = hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16, person=b"faceanon-image").digest()
        jobs = []
        for face in faces:
            asked, bare = face.method or self.method, face.landmarks is None
            chain = _chain_of(asked)
            without = tuple(m for m in chain if not self._method(m).uses_landmarks)
            window = window_of(_clipped(face, image) if bare else face, asked in _FROM_SURROUNDINGS)
            jobs.append(_Job(number, face, window, self._seed_of(digest, face), without if bare else chain))
            if bare and without != chain:
                jobs[-1].reasons.append("no landmarks")
        return jobs

    def _seed_of(self, digest: bytes, face: Face) -> int:
        """From the pixels, the box and the seed; never from a path or a position in the run."""
        box = np.rint(np.asarray(face.box)).astype(np.int64).tobytes()
        seed = self.seed if face.seed is None else face.seed
        keyed = hmac.new(self._salt + seed.to_bytes(16, "big", signed=True), digest + box, hashlib.sha256)
        return int.from_bytes(keyed.digest()[:8], "big") >> 1

    def _person_of(self, face: Face) -> str | None:
        if self.identity_mode != "consistent" or face.person is None:
            return None
        return hmac.new(self._salt, face.person.encode(), hashlib.sha256).hexdigest()

    def _run(self, jobs: list[_Job], images: Sequence[np.ndarray]) -> None:
        pending = [job for job in jobs if not job.face.keep]
        while pending:
            groups: dict[tuple[str, int], list[_Job]] = {}
            for job in pending:
                groups.setdefault((job.method, job.window.size), []).append(job)
            limit = _GPU_BATCH if self.device != "cpu" else 1
            for (name, _), group in groups.items():
                for start in range(0, len(group), limit):
                    self._attempt(self._method(name), group[start : start + limit], images)
            pending = [job for job in pending if job.pending]

    def _attempt(self, method: Method, jobs: list[_Job], images: Sequence[np.ndarray]) -> None:
        """One try at a batch of faces; those that pass get their pixels, the others their next method."""
        try:
            self._make(method, jobs, images)
        except torch.cuda.OutOfMemoryError:
            if len(jobs) == 1:
                jobs[0].reject(f"{method.name}: out of GPU memory")
                return
            torch.cuda.empty_cache()
            half = len(jobs) // 2
            self._attempt(method, jobs[:half], images)
            self._attempt(method, jobs[half:], images)
        except Exception as error:  # whatever went wrong with a face, it must end replaced, not original
            if len(jobs) == 1:
                jobs[0].reject(f"{method.name}: {type(error).__name__}: {error}")
                return
            for job in jobs:
                self._attempt(method, [job], images)

    @torch.inference_mode()
    def _make(self, method: Method, jobs: list[_Job], images: Sequence[np.ndarray]) -> None:
        persons = [self._person_of(job.face) for job in jobs]
        seeds = [(job.seed + job.attempt + job.searches) % 2**63 for job in jobs]
        batch = cut_windows([images[j.image] for j in jobs], [j.face for j in jobs], [j.window for j in jobs], seeds, persons, self.device)
        batch.failed = [job.attempt for job in jobs]
        description = self._describe(batch, jobs) if method.describes else None
        made = method(batch, description, [job.exclude for job in jobs])
        if not bool(torch.isfinite(made.pixels).all()):
            raise InputError("the result holds numbers that are not finite")
        blended = batch.pixels + (made.pixels - batch.pixels) * made.alpha
        verdicts = self._identity(batch, blended, description) if method.name != "mask" else [None] * len(jobs)
        for i, job in enumerate(jobs):
            verdict, problem = verdicts[i], made.problems[i]
            job.exclude |= made.sources[i]
            if problem is not None or (verdict is not None and verdict.reidentified):
                job.reject(f"{method.name}: {problem or 'recognised as the original'}")
                continue
            job.offer(verdict, made.pixels[i], made.alpha[i])

    def _describe(self, batch: CropBatch, jobs: list[_Job]) -> Description | None:
        """The originals described; a face that is tried again is not described again."""
        if self._describer is None:
            return None
        known = [job.description for job in jobs if job.description is not None]
        if len(known) == len(jobs):
            return Description.cat(known)
        description = self._describer(batch.reduce(batch.pixels), batch.reduced_landmarks)
        for i, job in enumerate(jobs):
            job.description = description[i : i + 1]
        return description

    def _finish(self, job: _Job, result: AnonymizedImage) -> None:
        face, reason = job.face, "; ".join(dict.fromkeys(job.reasons)) or None
        record = FaceRecord(face.box, face.score, face.detector, "failed", job.method, job.seed, key=face.key, reason=reason)
        record.landmarks = None if face.landmarks is None else np.round(face.landmarks, 2).tolist()
        result.faces.append(record)
        if face.keep:
            record.action, record.method, record.reason = "kept", "none", "kept by a consent rule"
            return
        if job.pixels is None or job.alpha is None:
            result.error = f"a face could not be replaced: {reason}"
            return
        paste_window(result.pixels, result.mask, job.window, job.pixels, job.alpha)
        fallback = job.method != (face.method or self.method)
        record.action = "filled" if fallback and job.method == "mask" else "retried" if job.attempt else "generated"
        record.model_sha256 = self._methods[job.method].model_sha256
        if job.verdict is not None:
            record.identity_similarity, record.reidentified = job.verdict.similarity, job.verdict.reidentified
            record.recognisers = list(job.verdict.recognisers)


def _chain_of(method: str) -> tuple[str, ...]:
    return _CHAINS.get(method, (method, "mask"))


def _with_added(added: Sequence[Face], found: Sequence[Face]) -> list[Face]:
    """The faces found, and those that a person added: theirs is the box where both mean one face."""
    return [*added, *(face for face in found if not any(same_face(face.box, other.box) for other in added))]


def _needs_landmarks(face: Face) -> bool:
    return face.landmarks is None and not face.keep


def _clipped(face: Face, image: np.ndarray) -> Face:
    """The face with its box cut off a quarter of the image beyond its edges, so that an absurd box costs no more than the image."""
    height, width = image.shape[:2]
    limits = np.array([[-0.25, -0.25], [1.25, 1.25]]) * [width, height]
    x0, y0, x1, y1 = np.clip(np.reshape(face.box, (2, 2)), *limits).flatten().tolist()
    return replace(face, box=(x0, y0, x1, y1))
