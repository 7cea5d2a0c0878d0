"""Generators of the completion table, the man pages and the JSON Schemas: `python -m scripts.generate`."""
