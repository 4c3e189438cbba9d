"""Pages that a person can send on: one run, several beside each other, a comparison; and what all reports share."""
