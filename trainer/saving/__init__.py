"""Adapter files: tensors, metadata, names, retention."""
