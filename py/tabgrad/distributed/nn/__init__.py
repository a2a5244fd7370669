"""Collective calls inside a model: they return their result, and gradients go back through them."""

from tabgrad.distributed.nn.functional import *  # noqa: F403 (it says which are public)
