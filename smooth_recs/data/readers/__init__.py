"""Readers of files: CSV, TFRecord and Parquet as chunks of raw rows."""
