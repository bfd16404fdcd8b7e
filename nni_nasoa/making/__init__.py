"""How the shipped weights and the shipped prior are made."""
