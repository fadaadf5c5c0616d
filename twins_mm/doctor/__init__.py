"""`python -m twins_mm.doctor` checks everything that training needs, and prints fixes.

`installation` checks Python packages and the GPU, `resources` data, weights and disk, both with
`probe`; `fixes` has the commands. Nothing here imports packages that may be missing or broken.
"""
