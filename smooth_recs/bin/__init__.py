"""The binaries: flags, one call each, and the exit statuses that `command` gives them."""
