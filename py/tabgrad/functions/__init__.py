"""PyTorch's functions, by topic: front ends that turn PyTorch's arguments into primitives.

Nothing here has rules of its own; what a function needs of a value it asks of ops, so every
transform and every device carries it.
"""
