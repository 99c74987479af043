"""What the kernel cannot decide is decided here, in processes without privileges."""
