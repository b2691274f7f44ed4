"""What happened: events, heartbeats, reports; all of it in the one SQLite file."""
