"""Models that PyTorch trains, and the one loop that trains them."""
