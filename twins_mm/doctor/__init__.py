"""Is everything there that training needs? `python -m twins_mm.doctor` says so, and what to do.

`installation` checks Python's packages and the GPU, `resources` data, weights and disk, both with
`probe`; `fixes` has the commands. Nothing here imports what may be missing or broken.
"""
