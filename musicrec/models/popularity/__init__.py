"""How popular a track will be, from what it sounds like, its genres and the words of its title."""
