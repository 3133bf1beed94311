"""A small made-up world of people, rooms, animals and machines: its facts, and texts about it."""
