"""What notebooks show of tensors, modules, optimizers, compiled functions and datasets."""
