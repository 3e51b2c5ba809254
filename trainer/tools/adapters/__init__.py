"""Tools for adapter files: each reads tensor by tensor and writes a file whole or not at all."""
