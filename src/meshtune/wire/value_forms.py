"""The quantised forms of values by name, separate from the codec so that a configuration is read without torch."""

BITS = {"int2": 2, "int4": 4, "int8": 8}
"""Bits per value before entropy coding, by the name of the form."""

BLOCKS = (8, 4096)
"""Minimum and maximum number of values in a block, which share a scale."""
