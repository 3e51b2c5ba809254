"""The ladder that is climbed before a run: what is broken, measured on the user's own model and images."""
