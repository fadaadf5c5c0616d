"""Reproducing the papers: what they print, what the configs cost, what is left to run."""
