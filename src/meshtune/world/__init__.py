"""A small made-up world: people, rooms, animals and machines; what is true in it, and texts that tell it."""
