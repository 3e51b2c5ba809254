"""Where a run's events go beside `events.jsonl`: TensorBoard, Weights & Biases, the console log."""
