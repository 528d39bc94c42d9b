"""Alternating least squares: the blocked engine, MLlib's, and folding listeners in."""
