"""How well devices answer: exams, intervals, curves, and the results of a run."""
