"""Reads training runs and compares them with the paper and the authors' logs."""
