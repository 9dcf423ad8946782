"""Where the trained generators lie: in the package once they are released in it, else in the cache folder, where training puts them."""

from __future__ import annotations

from pathlib import Path

from fo_faceanon.errors import WeightsError
from fo_faceanon.weights import cache_folder, find_weight, list_weights, require_weight

#: Methods that need a trained generator of the same name.
GENERATORS = ("landmark68", "sparse7", "mesh478")


def own_generator(name: str) -> Path:
    """Where a generator that the user trained goes to be found."""
    return cache_folder(name) / f"{name}.safetensors"


def find_generator(name: str) -> Path | None:
    """The weights of a generator, or None; the user's own come first."""
    if own_generator(name).is_file():
        return own_generator(name)
    return find_weight(name) if name in {weight.name for weight in list_weights()} else None


def require_generator(name: str) -> Path:
    """The weights of a generator, unaltered where the package brings them.

    Raises:
        WeightsError: there are none; the message says how to train them.
    """
    path = find_generator(name)
    if path is None:
        raise WeightsError(f"method {name!r} has no trained weights yet; {training_advice(name)}")
    return path if path == own_generator(name) else require_weight(name)


def training_advice(name: str) -> str:
    """How to get a generator."""
    return (
        f"train them: fo-faceanon train {name} --data DIR --out DIR (see docs/training.md), "
        f"then copy the result to {own_generator(name)} or give its path as the dial weights"
    )
