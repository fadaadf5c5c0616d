"""Toy data and what else `--toy` needs."""
