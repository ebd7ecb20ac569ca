"""Compiled loops over 64-bit words of packed codes, and nothing else.

Importing one of the modules here imports numba, which takes time: callers import
inside the function that needs a kernel.
"""
