"""LoRA with more than one mean: factors that take turns, and a residual beside them."""
