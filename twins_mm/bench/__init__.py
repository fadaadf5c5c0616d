"""How fast and how lean the backbones are, beside everyone else's, on the machine at hand."""
