"""The configuration of a run: read, validated once, and frozen."""
