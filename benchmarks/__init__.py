"""Measurements of the program. See docs/performance.md."""
