"""Files that a run leaves in its workdir, and reading them back.

`manifest` says which run a workdir belongs to, `finished_runs` reads what a finished run measured, and
`checkpoint_reader` reads what its models have learned, variable by variable.
"""
