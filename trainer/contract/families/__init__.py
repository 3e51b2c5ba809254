"""The torch-free half of each model family: how a file is recognised, sizes, defaults, names."""

from .base import Family, Layer, Recognised

__all__ = [
    "Family",
    "Layer",
    "Recognised",
    "by_name",
    "default_family",
    "never_trained",
    "of",
    "of_header",
    "recognise",
    "untrained",
]

from .recognise import by_name, default_family, never_trained, of, of_header, recognise, untrained
