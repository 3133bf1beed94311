"""One file per federated method: what a device sends, how it mixes received updates, which expert answers."""
