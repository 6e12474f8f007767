"""Laws of a family: information content from its loss curves, Chinchilla's law, and the gap that follows from both.

What is computed here are estimates: the prequential code length is no code for a single hypothesis. numpy and scipy only.
"""
