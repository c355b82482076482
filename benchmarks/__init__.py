"""Side by side with what else one could use, on this machine, in one run: ``make bench``."""
