"""Errors that say what went wrong, where, and what to do about it."""

from __future__ import annotations


class FaceAnonError(Exception):
    """Base of every error raised on purpose by this package; its message is meant for the user."""


class InputError(FaceAnonError):
    """A file, an array or an argument cannot be used."""


class WeightsError(FaceAnonError):
    """A weight file is missing, altered or not permitted; the message holds the command that helps."""


class OutputError(FaceAnonError):
    """An output cannot be written, or what was written did not pass its checks."""


class HostError(FaceAnonError):
    """FiftyOne, its database or a dataset cannot be used as asked."""


class ExportError(FaceAnonError):
    """An export was refused, because something in it could show a person."""
