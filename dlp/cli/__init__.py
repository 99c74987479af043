"""Commands. They parse arguments, call one thing below, and print."""
