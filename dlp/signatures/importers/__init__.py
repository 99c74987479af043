"""Rules of other tools, turned into packs and back.

syntax    regular expressions of Go (RE2) and of packs as one tree, written out as either
rewrite   an expression of theirs as one that packs take, and what that changes
gitleaks  gitleaks' TOML
export    packs as JSON and as gitleaks' TOML
"""
