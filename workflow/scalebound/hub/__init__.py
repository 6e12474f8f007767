"""Checkpoints and data sets on a hub: the only package, with `streams`, that opens connections."""
