"""Time and memory of the backbones on this machine, compared with other implementations."""
