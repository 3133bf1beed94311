"""Many devices, one frozen LLM, no server: sparse-and-orthogonal LoRA over wireless links.

Every device trains a sparse adapter for its own task, trades it with the neighbours it can reach, and answers
every task by routing (arXiv:2602.20492). The command line is ``meshtune``.
"""

__version__ = "0.1.0"
