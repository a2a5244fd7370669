"""Declarations of the ops. Importing this package fills the registry."""
