"""Runs tests under Debian's own kernels, booted in qemu on this machine's root file system."""
