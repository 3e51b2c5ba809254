"""What tests of several rooms share."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # tests run under nohup send it too


@pytest.fixture(scope="session")
def demo_model_dir() -> Path:
    """The tiny Stable Diffusion 1.x that ships with the project, a diffusers folder."""
    return ROOT / "presets" / "demo" / "model"
