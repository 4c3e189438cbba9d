"""What a run leaves in its workdir, and reading it back.

`manifest` says whose a workdir is; `finished_runs` reads what a finished run measured; `checkpoint_reader` reads what
its models had learnt, variable by variable.
"""
