"""The anonymization methods by name."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fo_faceanon.errors import InputError

if TYPE_CHECKING:
    from fo_faceanon.anonymizers.base import Method


@dataclass(frozen=True, slots=True)
class MethodInfo:
    """What a user sees of a method: its name, one line about it, its licence, and the weights that it needs."""

    name: str
    summary: str
    licence: str
    needs: tuple[str, ...]
    factory: str  # "module:Class", imported only when the method is used

    def load(self) -> Callable[..., Method]:
        """The class that makes the method."""
        module, _, attribute = self.factory.partition(":")
        return getattr(import_module(module), attribute)

    @property
    def missing(self) -> tuple[str, ...]:
        """Those of :attr:`needs` that are not on this machine."""
        return tuple(name for name in self.needs if _find(name) is None)


def _find(name: str) -> Path | None:
    from fo_faceanon.weights import find_weight
    from fo_faceanon.weights.generators import GENERATORS, find_generator

    return find_generator(name) if name in GENERATORS else find_weight(name)


_PACKAGE = "fo_faceanon.anonymizers"
_BANK_LICENCE = "Apache-2.0 generator, FFHQ lineage: treat as non-commercial"
_TRAINED_LICENCE = "Apache-2.0; of the weights: see their card (fo-faceanon weights list)"
_METHODS = (
    MethodInfo(
        "donor",
        "a face of nobody, chosen for likeness of pose, expression, light and skin (default)",
        _BANK_LICENCE,
        ("attributes", "bank", "guide"),
        f"{_PACKAGE}.donor:Donor",
    ),
    MethodInfo("ksame", "the mean of k such faces", _BANK_LICENCE, ("attributes", "bank", "guide"), f"{_PACKAGE}.ksame:KSame"),
    MethodInfo(
        "landmark68",
        "a face drawn by a network from 68 landmarks and the surroundings, relit as in the paper",
        _TRAINED_LICENCE,
        ("landmark68",),
        f"{_PACKAGE}.inpainting:Landmark68",
    ),
    MethodInfo(
        "sparse7", "the same from seven points: the paper's baseline", _TRAINED_LICENCE, ("sparse7",), f"{_PACKAGE}.inpainting:Sparse7"
    ),
    MethodInfo(
        "mesh478",
        "a face drawn by a network from the 478 dots of its mesh (GANonymization)",
        _TRAINED_LICENCE,
        ("mesh478", "face-landmarker"),
        f"{_PACKAGE}.mesh:MeshMethod",
    ),
    MethodInfo("mask", "a solid fill in the face's mean colour", "Apache-2.0", (), f"{_PACKAGE}.obfuscation:Mask"),
    MethodInfo("blur", "a Gaussian blur, as wide as the face demands", "Apache-2.0", (), f"{_PACKAGE}.obfuscation:Blur"),
    MethodInfo("pixelate", "a few large blocks", "Apache-2.0", (), f"{_PACKAGE}.obfuscation:Pixelate"),
    MethodInfo("noise", "coarse noise over a blurred face", "Apache-2.0", (), f"{_PACKAGE}.obfuscation:Noise"),
)


def list_methods() -> list[MethodInfo]:
    """All methods, the default first; a summary says so where trained weights are not on this machine."""
    return [_with_state(info) for info in _METHODS]


def _with_state(info: MethodInfo) -> MethodInfo:
    missing = info.missing
    if not missing:
        return info
    how = f"fo-faceanon train {info.name}" if info.name in missing else f"fo-faceanon weights get {missing[0]}"
    return replace(info, summary=f"{info.summary}; its weights are not here yet: {how}")


def method_info(name: str) -> MethodInfo:
    """The method called ``name``.

    Raises:
        InputError: if there is none, with the names that there are.
    """
    for info in _METHODS:
        if info.name == name:
            return info
    raise InputError(f"there is no method {name!r}; the methods are {', '.join(m.name for m in _METHODS)}")


def create_method(name: str, device: str, dials: dict[str, Any]) -> Method:
    """A method, ready to run on ``device``.

    Raises:
        InputError: if the method or one of its dials is unknown, or a dial is out of range.
        WeightsError: if a weight file that it needs is missing.
    """
    info = method_info(name)
    factory = info.load()
    known = getattr(factory, "DIALS", ())
    unknown = sorted(set(dials) - set(known))
    if unknown:
        raise InputError(f"method {name!r} has no dial {', '.join(unknown)}; its dials are {', '.join(known) or 'none'}")
    return factory(device=device, **dials)


def parse_dials(texts: Iterable[str]) -> dict[str, Any]:
    """Dials written ``name=value``; values are JSON (numbers) where they are, else text.

    Raises:
        InputError: one is written otherwise.
    """
    dials: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise InputError(f"a dial must be written name=value, for example shape=0.5, but got {text!r}")
        try:
            dials[name] = json.loads(value)
        except json.JSONDecodeError:
            dials[name] = value
    return dials
