"""Evolutionary search: NSGA-II selection, an ask/tell core, and what it varies: architectures, or samples."""
