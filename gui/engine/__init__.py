"""Another program trains the same preset: the user's own sd-scripts, as a run in our run folder. No Gradio in here."""
