"""Writes what is generated: `python -m scripts.generate`."""
