"""Anonymize the faces of an image dataset: same pose, expression, light and skin tone, another person."""

__version__ = "0.1.0"
