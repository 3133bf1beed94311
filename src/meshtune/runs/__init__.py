"""A run's folder: files written all or nothing, logs, checksums, a lock."""
