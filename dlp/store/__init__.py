"""SQLite: verdicts, incidents and tokens. Never a raw value."""
