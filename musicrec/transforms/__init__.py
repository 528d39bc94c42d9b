"""Lazy, pure functions from DataFrame to DataFrame."""
