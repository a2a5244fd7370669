"""What programs around a training loop need."""
