"""The recipe of the tiny demo model in `presets/demo/model`: a drawn world, and a Stable Diffusion 1.5 in small.

The demo exists so that a first training needs no download and no GPU, and so that tests train the real thing. Its
world (`draw.py`) is coloured shapes on coloured backgrounds; the concept that a demo LoRA adds (`badge.py`) is not in
it.
"""
