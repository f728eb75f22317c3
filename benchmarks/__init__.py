"""Speed and accuracy of this library beside its peers: ``python -m benchmarks.NAME --json FILE``."""
