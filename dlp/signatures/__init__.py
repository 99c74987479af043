"""Signatures: packs, the regex's syntax tree, lowering, anchors, the compiled image."""
