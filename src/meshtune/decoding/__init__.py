"""How a base answers: options scored, text written."""
