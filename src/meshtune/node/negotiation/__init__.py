"""Mask negotiation: the groups of a cluster agree on masks by messages before the first round."""
