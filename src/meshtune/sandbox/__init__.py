"""Running programs that a language model wrote: walls around them, limits on them, and a word on how they ended."""
