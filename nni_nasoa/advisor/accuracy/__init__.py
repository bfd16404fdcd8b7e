"""How good a run will be."""
