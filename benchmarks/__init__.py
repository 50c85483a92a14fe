"""What docs/performance.md reports. One command, `python -m benchmarks`; a file `bench_*.py` for each subject."""
