"""Content transfer over links that lose, duplicate and reorder: offer by digest, fetch in parts, resume, keep order."""
