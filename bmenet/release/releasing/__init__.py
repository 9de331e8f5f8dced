"""A workspace's networks as released weights: a small bundle with a card and a licence."""
