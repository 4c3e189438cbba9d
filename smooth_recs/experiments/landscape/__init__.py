"""The loss around trained networks: between siblings, and in random directions."""
