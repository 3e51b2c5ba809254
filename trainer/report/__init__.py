"""What a run's events amount to, torch-free: figures, curves and charts, for the page and for the report file."""
