"""Masks that the groups of a cluster negotiate by messages before the first round."""
