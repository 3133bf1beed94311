"""Tries every quick way of reading a base against the model itself, when the base is loaded."""
