"""What a run will do, computed without torch: images, captions, buckets, steps, draws, learning-rate curve."""
