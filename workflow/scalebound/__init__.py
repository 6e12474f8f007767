"""Generalization bounds for language models that get better with scale, computed from released checkpoints."""

__version__ = "0.1.0"
