"""One federated method a file; their names are in :mod:`meshtune.methods.registry`."""
