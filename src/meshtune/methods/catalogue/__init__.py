"""One federated method per file; their names are in :mod:`meshtune.methods.registry`."""
