"""Speed and accuracy of this library beside its peers; run each file as a module: ``python -m benchmarks.NAME --json FILE``."""
