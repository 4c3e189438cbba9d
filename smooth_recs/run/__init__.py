"""One run: its files, its training, what it begins with and what it leaves."""
