"""Measures what the gateway costs and compares it with the alternatives; `python bench --help`.

Reports and never judges: the exit code says whether the measurements could be made, not
whether they please.
"""
