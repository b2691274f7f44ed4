"""What is known of a query from its text: its tables, its canonical form, where its rows come from."""
