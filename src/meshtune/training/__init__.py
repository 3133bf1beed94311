"""How experts learn: the batched trainer, calibration, learning rates, memory."""
