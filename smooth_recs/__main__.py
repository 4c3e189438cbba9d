"""`python -m smooth_recs` is the command `smooth-recs`."""

from smooth_recs.bin import _subcommands

if __name__ == "__main__":
    _subcommands.main()
