"""Images worth looking at that need no download: one computed while you look, one written to disk once."""
