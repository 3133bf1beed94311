"""Running programs that a language model wrote: isolated, under limits, and with a report on how they ended."""
