"""What is done with finished runs: reports, comparisons and their charts."""
