"""Pages about training runs and about data."""
