"""One task a file; their names are in :mod:`meshtune.tasks.registry`."""
