"""The parts of soak.py, one idea a file."""
