"""Experiments of many runs: attribution of PD to its causes, sweeps, the figures of the paper, loss landscapes."""
