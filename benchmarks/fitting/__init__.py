"""The parts of training.py, one idea a file."""
