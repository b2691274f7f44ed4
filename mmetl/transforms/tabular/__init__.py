"""Tables: read from files, query with SQL, transform with Python, write to files. Heavy libraries are imported inside functions."""
