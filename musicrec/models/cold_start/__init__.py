"""A model's item vectors for tracks that no one has played, learned from what the tracks sound like."""
