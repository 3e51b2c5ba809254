"""Presets, written for other programs: what they can do of it, and what not."""
