"""How it is learnt: base model loading, the local trainer and evaluation."""
