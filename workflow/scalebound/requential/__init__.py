"""A student that was trained only on what its teacher drew: its code length, and a message from which its training is replayed."""
