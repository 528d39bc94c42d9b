"""musicrec: a nightly batch music recommender on Spark, Delta Lake and PyTorch."""

__version__ = "0.1.0"
