"""From packets to GPU calls: the protocol, the hosts that speak it, and how one is found."""
