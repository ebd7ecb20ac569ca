"""What benchmarks/metrics.py is made of."""
