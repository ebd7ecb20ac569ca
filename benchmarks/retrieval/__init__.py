"""The parts of accuracy.py, one idea a file."""
