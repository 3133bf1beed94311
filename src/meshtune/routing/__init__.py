"""Who answers: task statistics and training-free routers (method section 8)."""
