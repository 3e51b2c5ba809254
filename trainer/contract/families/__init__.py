"""The torch-free half of each model family: how a file is recognised, sizes, defaults, names."""

from .base import Family, Recognised

__all__ = ["Family", "Recognised", "by_name", "default_family", "recognise", "untrained"]

from .recognise import by_name, default_family, recognise, untrained
