"""Many devices in one process: the round loop, the radio, faults, and how a run is resumed."""
