"""Everything behind `--toy`: scenes, data sets and the schedule."""
