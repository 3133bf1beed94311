"""Rows of tasks: gathered, checked for repetition and leakage, and distributed to devices."""
