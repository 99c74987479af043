"""Policies: which one a workload has, which action a signature, and the rows that say so.

    rows       what datapath.tables writes, as values; `decide`, the reference semantics
    strictest  the synthesised policy number 0
    selection  PolicySet: a policy file against a signature set

Pure: no input or output, no clock, no kernel structs.
"""

from dlp.policy.rows import (
    STRICTEST,
    STRICTEST_NAME,
    DestinationRow,
    KernelPolicies,
    KernelPolicy,
    PolicyFlag,
    RuleRow,
    decide,
)
from dlp.policy.selection import PolicySet, held_signatures

__all__ = [
    "STRICTEST",
    "STRICTEST_NAME",
    "DestinationRow",
    "KernelPolicies",
    "KernelPolicy",
    "PolicyFlag",
    "PolicySet",
    "RuleRow",
    "decide",
    "held_signatures",
]
