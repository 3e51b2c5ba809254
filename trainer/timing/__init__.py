"""Where the time of a run goes, and what is in use meanwhile."""
