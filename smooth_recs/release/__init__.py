"""The way from a finished run to what serves: publishing a version behind checks and gates, and predicting with it."""
