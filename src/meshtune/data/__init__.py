"""Rows of tasks: gathered, checked for repetition and leakage, and dealt out to devices."""
