"""The HTTP face, one module per subject."""
