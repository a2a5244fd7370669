"""From graph to plan: simplify, fuse, place in memory, print. Knows nothing of hosts."""
