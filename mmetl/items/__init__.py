"""Item-wise work: which rows of a table are new, what is known of the others, and how both become parts."""
