"""Contents over links that lose, repeat and reorder: offered by digest, fetched in parts, resumed, kept in order."""
