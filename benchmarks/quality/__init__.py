"""The published comparison on the test subjects of this workspace: `python -m benchmarks.quality`."""
