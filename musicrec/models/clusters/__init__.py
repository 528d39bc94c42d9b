"""Groups of tracks that sound alike."""
