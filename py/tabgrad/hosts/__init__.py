"""Devices: recording ops, encoding plans as packets, and the hosts that run packets."""
