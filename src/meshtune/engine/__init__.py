"""What makes it run: configuration, the round loop and the run store."""
