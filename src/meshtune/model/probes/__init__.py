"""Checks every fast path for a base against the model itself, when the base is loaded."""
