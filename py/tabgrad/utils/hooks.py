"""What registering a hook returns."""

from tabgrad.transforms.tape import RemovableHandle as RemovableHandle
