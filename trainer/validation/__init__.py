"""What the held-out images say: their loss on a fixed grid, and whether it has turned."""
