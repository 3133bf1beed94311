"""Output for people: tables, figures and comparisons of runs."""
