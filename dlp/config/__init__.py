"""The policy file: parsed once into frozen values, each error with file, line and key.

    source    YAML text to nodes that know their line; refuses what a policy file never needs
    problems  what is found, gathered and worded without giving content away
    section   typed reading of nodes; gathers problems instead of stopping at the first
    model     the values
    address   networks, ports, host:port
    policies  the grammar of one policy
    loading   the grammar of the whole file: `load`

Reads the named file and looks whether the packs it names exist; nothing else.
"""

from dlp.config.loading import check_signatures, load, with_netns
from dlp.config.model import (
    Api,
    Config,
    Destination,
    InspectorDown,
    Match,
    OtherProtocols,
    Policy,
    PolicyException,
    PortRange,
    Rule,
    TcpAddress,
    Workloads,
)
from dlp.config.problems import PolicyFileError

__all__ = [
    "Api",
    "Config",
    "Destination",
    "InspectorDown",
    "Match",
    "OtherProtocols",
    "Policy",
    "PolicyException",
    "PolicyFileError",
    "PortRange",
    "Rule",
    "TcpAddress",
    "Workloads",
    "check_signatures",
    "load",
    "with_netns",
]
