"""The wire format: payloads and their frames, coded values and masks, a receiver's checks, byte counts."""
