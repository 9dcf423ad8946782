"""Anonymize the faces of an image dataset: same pose, expression, light and skin tone, another person."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fo_faceanon.anonymizer import AnonymizedImage, Anonymizer
    from fo_faceanon.errors import FaceAnonError
    from fo_faceanon.faces import Face
    from fo_faceanon.host.attack import attack
    from fo_faceanon.host.consent_import import import_consent
    from fo_faceanon.host.evaluate import evaluate
    from fo_faceanon.host.export import export_safe_split
    from fo_faceanon.host.missed import find_missed_faces
    from fo_faceanon.host.redo import reanonymize
    from fo_faceanon.host.review import mark_missed, undo
    from fo_faceanon.host.runner import anonymize
    from fo_faceanon.host.views import failures, mark_reviewed
    from fo_faceanon.records import RunReport
    from fo_faceanon.registry import list_methods

__version__ = "0.1.0"

#: Imported on first use, so that `import fo_faceanon` costs nothing and needs no database.
_LAZY = {
    "AnonymizedImage": "anonymizer",
    "Anonymizer": "anonymizer",
    "Face": "faces",
    "FaceAnonError": "errors",
    "RunReport": "records",
    "anonymize": "host.runner",
    "attack": "host.attack",
    "evaluate": "host.evaluate",
    "export_safe_split": "host.export",
    "failures": "host.views",
    "find_missed_faces": "host.missed",
    "import_consent": "host.consent_import",
    "list_methods": "registry",
    "mark_missed": "host.review",
    "mark_reviewed": "host.views",
    "reanonymize": "host.redo",
    "undo": "host.review",
}

__all__ = [  # noqa: RUF022 - the order of use
    "Anonymizer",
    "AnonymizedImage",
    "Face",
    "FaceAnonError",
    "RunReport",
    "anonymize",
    "evaluate",
    "attack",
    "failures",
    "find_missed_faces",
    "mark_missed",
    "mark_reviewed",
    "reanonymize",
    "undo",
    "import_consent",
    "export_safe_split",
    "list_methods",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
