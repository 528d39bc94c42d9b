"""Splits, metrics, baselines and checks against leaks."""
