"""The tasks to learn and test: one small file per task over its Hugging Face schema."""

from __future__ import annotations

from meshtune.tasks.base import Question, Task
from meshtune.tasks.loader import load
from meshtune.tasks.registry import TASKS, get_task

__all__ = ["TASKS", "Question", "Task", "get_task", "load"]
