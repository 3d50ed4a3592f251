"""scikit-learn for mllab: autologging, and model files that open without running code."""

__version__ = "0.1.0"
