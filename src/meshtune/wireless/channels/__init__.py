"""One channel model per file; their names are in :mod:`meshtune.wireless.registry`."""
