"""What the operations cost: python -m benchmarks.run."""
