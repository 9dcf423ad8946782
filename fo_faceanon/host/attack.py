"""``fa.attack``: what an adversary recognises on the anonymized pictures of a dataset."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import fiftyone as fo
from fiftyone.core.collections import SampleCollection

from fo_faceanon.attacks.run import LIMIT, AttackReport, attack_pairs
from fo_faceanon.errors import HostError
from fo_faceanon.host.fields import MEDIA
from fo_faceanon.host.session import require_images, root_dataset, sample_ids, stream_values
from fo_faceanon.judging.pairs import Pair

NO_MEDIA = "no anonymized picture"


def attack(
    samples: SampleCollection | str,
    *,
    people: str | None = None,
    device: str = "auto",
    workers: int | None = None,
    controls: bool = True,
    parrot: bool = True,
    inversion: bool = True,
    budget: float | None = None,
    limit: int = LIMIT,
    cache: str | Path | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> AttackReport:
    """Attacks every anonymized sample as an adversary would who has its original, or other photographs of the same people.

    Nothing is written into the dataset. Pictures are named by their samples' ids in the report.

    Args:
        samples: a dataset, a view, or a dataset's name; samples without anonymized media are counted, not attacked.
        people: the field that says who is on the picture: a string, a number, or a Classification. Without it, attacks across
            photographs cannot be made, and the verdict says so.
        device: ``auto``, ``cpu``, ``cuda``, ...
        workers: processes; by default one per core.
        controls: also attack a solid fill, the light alone and the shape alone: what the verdict is read against.
        parrot: also learn on other anonymized people.
        inversion: also train a network that restores the originals.
        budget: seconds that it trains; by default 120, on a GPU 300.
        limit: pictures at most; whole people are chosen by a hash.
        cache: a folder that keeps what was seen on originals.
        progress: called with the stage, ``done`` and ``total``.

    Raises:
        HostError: the dataset cannot be used, has no such field, or was never anonymized.
        InputError: no face was found on the originals.
    """
    collection = require_images(samples)
    dataset, ids = root_dataset(collection), sample_ids(collection)
    schema = dataset.get_field_schema()
    if people is not None and people not in schema:
        raise HostError(f"dataset '{dataset.name}' has no field '{people}' that could say who is on a picture")
    if MEDIA not in schema:
        raise HostError(f"dataset '{dataset.name}' was never anonymized: run fa.anonymize(dataset) first")
    fields = ("filepath", MEDIA, *((people,) if people else ()))
    pairs, missing = [], []
    for sample, path, output, *who in stream_values(dataset, ids, fields):
        if output is None:
            missing.append(sample)
        else:
            pairs.append(Pair(sample, Path(path), Path(output), _person(who[0]) if who else None))
    if not pairs:
        raise HostError(f"none of {len(ids)} samples has an anonymized picture: run fa.anonymize(dataset) first")
    switches: dict[str, Any] = {"controls": controls, "parrot": parrot, "inversion": inversion, "budget": budget, "limit": limit}
    report = attack_pairs(pairs, device=device, workers=workers, cache=Path(cache) if cache else None, progress=progress, **switches)
    if missing:
        report.problems = {NO_MEDIA: missing, **report.problems}
    return report


def _person(value: Any) -> str | None:
    """Who a field's value names; None for nobody."""
    label = value.label if isinstance(value, fo.Classification) else value
    return None if label is None or label == "" else str(label)
