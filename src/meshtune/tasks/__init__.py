"""What is learnt and tested: one small file per task over its Hugging Face schema."""
