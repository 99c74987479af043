"""SQLite: verdicts and tokens. Never a raw value."""
