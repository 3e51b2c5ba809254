"""Adapter files read without torch: which tensors they hold, how their layers are named, what kind they are."""
