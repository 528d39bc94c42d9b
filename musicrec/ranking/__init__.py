"""From vectors to lists: top-N, fusion, fill and reasons."""
