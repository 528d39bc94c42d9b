"""Sources, tables, snapshots and model files: all that touches storage."""
