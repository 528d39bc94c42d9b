"""One model a file; every embedding model ends as user and item vectors."""
