"""One device of a run, ready to be asked."""
