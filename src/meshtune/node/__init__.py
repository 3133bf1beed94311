"""One device: what it announces, sends, receives and stores."""
