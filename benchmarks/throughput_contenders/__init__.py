"""What takes part in `throughput.py` and `growth.py`: a module a family of contenders, each run in its own process.

A family is a module with a function for each of its contenders: given the `work.Work`, it makes a model and returns a
`turn`, which trains it for a number of steps and returns of how many examples. A family imports no other library than
its own.
"""
