"""The frozen base model: loaded, checked, read quickly."""
