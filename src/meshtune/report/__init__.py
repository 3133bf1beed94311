"""What people look at: tables, figures and comparisons of runs."""
