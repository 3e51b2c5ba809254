"""What happens between two steps of a run: files, checks, samples, and when. Nothing in it changes what is learnt."""
