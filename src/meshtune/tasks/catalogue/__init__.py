"""One task per file; their names are in :mod:`meshtune.tasks.registry`."""
