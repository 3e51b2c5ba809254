"""Recipes of other programs, read into presets: what is taken over, what is not, and why."""
