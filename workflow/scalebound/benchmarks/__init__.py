"""What the project's speed and memory are measured by, side by side in one process: `scalebound bench`."""
