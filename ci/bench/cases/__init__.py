"""The benchmarks of bundles and stores, one module for each question."""
