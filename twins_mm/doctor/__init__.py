"""Is everything there that training needs? `python -m twins_mm.doctor` says so, and what to do.

`installation` looks at Python's packages and the GPU, `resources` at data, weights and disk, both
with the `probe`s; `mends` knows the commands. Nothing here imports what may be missing or broken.
"""
