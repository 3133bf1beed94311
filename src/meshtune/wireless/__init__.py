"""What the air allows: places, channels, link budgets, losses, and what computing costs (method section 7)."""
