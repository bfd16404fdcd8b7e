"""What happened before: records of runs, and the store that keeps them."""
