"""The frozen base model: loaded, checked, and run through fast paths."""
