"""Hooks that average the gradients of DistributedDataParallel, most of them compressed."""
