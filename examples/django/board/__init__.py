"""A notice board: one model, one page, a small API."""
