"""Choosing settings: trials proposed by Optuna, judged on listens before the nightly's test."""
