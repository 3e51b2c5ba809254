"""From image files and captions to batches on the device: decoding, caches, the loader."""
