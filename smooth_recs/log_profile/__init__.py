"""What a log holds, which column has which role, and a first configuration to train it: `smooth-recs init`."""
