"""What the executor does a task with: its job, its inputs, its limits, what it made, and how that is told."""
