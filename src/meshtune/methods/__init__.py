"""One file per federated method: what a device sends, how it mixes what arrives, which expert answers."""
