"""Many devices in one process: the round loop, the radio, faults, and resuming a run."""
