"""The kernel path as userspace sees it: build, pins, tables, events, attach."""
