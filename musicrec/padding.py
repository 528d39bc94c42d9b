"""What stands where a window has no play."""

# Fills the left of a window that is shorter than the fixed length; never an item_idx, which start at 0.
PAD_IDX = -1
