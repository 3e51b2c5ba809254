"""What the page and the trainer agree on: settings, rules, catalogs, presets, events, the run folder. Torch-free."""
