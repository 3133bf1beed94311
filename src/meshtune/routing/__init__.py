"""Which expert answers a prompt: task statistics and training-free routers (method section 8)."""
