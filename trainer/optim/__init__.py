"""Optimizers by catalog row, and the learning rate over the run."""
