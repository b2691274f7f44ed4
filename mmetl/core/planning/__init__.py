"""What a pipeline is while it is planned: its tasks as drafts, and what is refused of them."""
