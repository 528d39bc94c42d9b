"""Nearest neighbours over the sparse matrix."""
