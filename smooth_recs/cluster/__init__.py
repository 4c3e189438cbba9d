"""Processes that train one run together: who is who, who is alive, and a cluster on one machine to try it on."""

from smooth_recs.cluster.task import Task

__all__ = ["Task"]
