"""Documents: what a file is, its text, its chunks, and what is found in them. Plain functions; heavy libraries are imported inside them."""
