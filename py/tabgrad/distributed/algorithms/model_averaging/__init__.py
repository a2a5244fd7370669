"""Models averaged every few steps."""
