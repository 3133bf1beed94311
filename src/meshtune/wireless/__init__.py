"""The wireless model: positions, channels, link budgets, losses, and the cost of computing (method section 7)."""
