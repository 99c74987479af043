"""The policy file: parsed once into frozen values, each error with file, line and key.

    source    YAML text to nodes that know their line; refuses what a policy file never needs
    problems  what is found, gathered and worded without giving content away
    section   typed reading of nodes; gathers problems instead of stopping at the first
    model     the values
    address   networks, ports, host:port
    settings  the settings of one policy
    policies  the grammar of one policy: for whom, destinations, exceptions, rules
    selecting which signatures a rule names
    loading   the grammar of the whole file: `load`

Reads the named file and looks whether the packs it names exist; nothing else.
"""

from dlp.config.loading import load, with_netns
from dlp.config.model import (
    Api,
    AttachWay,
    Config,
    Destination,
    Escalation,
    Handling,
    InspectorDown,
    Loopback,
    Match,
    NewWorkloads,
    OpenEnd,
    Policy,
    PolicyException,
    PortRange,
    Releases,
    Rule,
    Selection,
    TcpAddress,
    Workloads,
)
from dlp.config.problems import PolicyFileError
from dlp.config.selecting import any_of, check_signatures, named_by

__all__ = [
    "Api",
    "AttachWay",
    "Config",
    "Destination",
    "Escalation",
    "Handling",
    "InspectorDown",
    "Loopback",
    "Match",
    "NewWorkloads",
    "OpenEnd",
    "Policy",
    "PolicyException",
    "PolicyFileError",
    "PortRange",
    "Releases",
    "Rule",
    "Selection",
    "TcpAddress",
    "Workloads",
    "any_of",
    "check_signatures",
    "load",
    "named_by",
    "with_netns",
]
