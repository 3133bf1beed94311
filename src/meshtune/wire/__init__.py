"""What crosses a link: payloads and their frames, coded values and masks, checks of a receiver, bytes counted."""
