"""Jobs beside training, each startable on its own with `python -m trainer.tools.<name>`."""
