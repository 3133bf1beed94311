"""What a run would cost, without weights, data or training."""
