"""One module for each suite; its ``run`` gives tables."""
