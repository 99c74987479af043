"""Signed signature releases: what makes one, and what makes it trustworthy.

    keys      Ed25519 key pairs in files
    trust     a TUF root: which keys may sign, how many must, until when; its rotation
    metadata  what a release says of itself: version, expiry, packs with length and digest
    archive   the one file that is uploaded, read strictly
    verify    an archive against a trust: taken whole or refused with the reason
    content   the packs of a release as signatures, fit to be released
    life      the states of a release on a host and the steps between them
    canary    which workloads a release acts for before it does for all
    union     live and candidate set side by side, each signature once where both agree
    doubled   the policies of a union: what acts and what is only counted
    override  single packs and signatures of development mode
    diff      what the candidate would do otherwise, by signature and workload

Values in, values out: no sockets, no clock, no kernel. `keys` alone touches files.
"""
