"""What people ask of a project, with nothing changed: what is there, what would run, and why."""
