"""Hashing, environment, time, retry: standard library and xxhash only, no mmETL imports."""
