"""Numbers of the studies again: each table from the artifacts that it was made of."""

CHECKS = {}
