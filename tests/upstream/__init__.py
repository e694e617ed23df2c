"""Transformers' own test suites, run on `MultiTaskModel`: ``make upstream``."""
