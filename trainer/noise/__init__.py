"""Noise: how much, where on the way, what the model should answer, how far off it is. Pure functions on tensors."""
