"""What a device trains: projections, masks, budgets and the adapted linear layer (method sections 2 to 4)."""
