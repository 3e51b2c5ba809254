"""The tensor half of each model family: load, encode, predict, decode."""
