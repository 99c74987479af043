"""Differential oracle: the kernel programs against an independent model written on `re`.

The model reads the signature packs by itself and has checksums of its own; nothing here but
`harness` may import the product, and `harness` only to load and run the kernel programs.
Values are synthetic, and still none of them is ever printed.
"""
