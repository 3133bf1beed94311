"""One channel model a file; their names are in :mod:`meshtune.wireless.registry`."""
