"""The anonymization methods by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
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


_PACKAGE = "fo_faceanon.anonymizers"
_BANK_LICENCE = "Apache-2.0 generator, FFHQ lineage: treat as non-commercial"
_METHODS = (
    MethodInfo(
        "donor",
        "a face of nobody, chosen for likeness of pose, expression, light and skin (default)",
        _BANK_LICENCE,
        ("attributes", "bank"),
        f"{_PACKAGE}.donor:Donor",
    ),
    MethodInfo("ksame", "the mean of k such faces", _BANK_LICENCE, ("attributes", "bank"), f"{_PACKAGE}.ksame:KSame"),
    MethodInfo("mask", "a solid fill in the face's mean colour", "Apache-2.0", (), f"{_PACKAGE}.obfuscation:Mask"),
    MethodInfo("blur", "a Gaussian blur, as wide as the face demands", "Apache-2.0", (), f"{_PACKAGE}.obfuscation:Blur"),
    MethodInfo("pixelate", "a few large blocks", "Apache-2.0", (), f"{_PACKAGE}.obfuscation:Pixelate"),
    MethodInfo("noise", "coarse noise over a blurred face", "Apache-2.0", (), f"{_PACKAGE}.obfuscation:Noise"),
)


def list_methods() -> list[MethodInfo]:
    """All methods, the default first."""
    return list(_METHODS)


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
