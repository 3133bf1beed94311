"""Clusters and communication graphs: who talks to whom."""
