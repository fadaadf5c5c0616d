"""Data: `checks` looks for it, `toy` makes some to play with, out of the `shapes` of a scene."""
