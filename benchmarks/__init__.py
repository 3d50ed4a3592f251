"""What the README says about speed and size, measured beside the peers. Run ``python -m benchmarks``."""
