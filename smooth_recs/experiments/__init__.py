"""Many runs: cells that are trained once, what makes siblings differ, sweeps; the paper's figures, landscapes."""
