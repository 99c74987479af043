"""Networks, ports, host:port."""

from ipaddress import ip_network

import pytest

from dlp.config import PortRange, TcpAddress


@pytest.mark.parametrize(
    ("text", "expected", "loopback"),
    [
        ("127.0.0.1:8470", ("127.0.0.1", 8470), True),
        ("127.9.9.9:1", ("127.9.9.9", 1), True),
        ("[::1]:65535", ("::1", 65535), True),
        ("localhost:80", ("localhost", 80), True),
        ("0.0.0.0:80", ("0.0.0.0", 80), False),
        ("[::]:80", ("::", 80), False),
        ("gateway.example.org:80", ("gateway.example.org", 80), False),
    ],
)
def test_tcp(policy_file, minimal, text, expected, loopback):
    """Addresses of both families and names are taken; loopback is told from the rest."""
    tcp = policy_file.load(minimal + f'api: {{tcp: "{text}"}}\n').api.tcp

    assert TcpAddress(host=expected[0], port=expected[1]) == tcp
    assert loopback is tcp.loopback


@pytest.mark.parametrize(
    "text",
    [
        "8470",
        "127.0.0.1",
        "127.0.0.1:",
        ":8470",
        "127.0.0.1:0",
        "127.0.0.1:65536",
        "127.0.0.1:99999999999999999999",
        "127.0.0.1:+1",
        "127.0.0.1:٣",
        "127.0.0.256:1",
        "127.1:1",
        "::1:8470",
        "[127.0.0.1]:1",
        "[fe80::1%eth0]:1",
        "-x.org:1",
        "a..b:1",
        "a b:1",
        "http://x:1",
    ],
)
def test_bad_tcp(policy_file, minimal, text):
    """What is no host and port is an error at its key."""
    found = policy_file.problems(minimal + f'api: {{tcp: "{text}"}}\n')

    assert [(6, "api.tcp")] == [problem[:2] for problem in found]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("10.1.2.3", "10.1.2.3/32"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("2001:db8::/32", "2001:db8::/32"),
        ("::1", "::1/128"),
        ("::ffff:10.0.0.0/104", "::ffff:a00:0/104"),
        ("::ffff:0:0/96", "::ffff:0:0/96"),
        ("8000::/1", "8000::/1"),
    ],
)
def test_network(policy_file, with_policy, text, expected):
    """Networks and single hosts of both families."""
    policy = policy_file.load(with_policy(f'destinations: [{{cidr: "{text}", action: deny}}]'))

    assert ip_network(expected) == policy.policies[0].destinations[0].network


@pytest.mark.parametrize(
    ("text", "part", "remedy"),
    [
        ("10.0.0.1/8", "host bits", "write 10.0.0.0/8"),
        ("2001:db8::1/32", "host bits", "write 2001:db8::/32"),
        ("10.0.0.0/33", "expected a network", "10.0.0.0/8"),
        ("10.0.0/8", "expected a network", "10.0.0.0/8"),
        ("example.org", "expected a network", "10.0.0.0/8"),
        ("fe80::%eth0/64", "scope", "%"),
        ("::/0", "all IPv4 addresses too", "2000::/3"),
        ("::/80", "all IPv4 addresses too", "2000::/3"),
    ],
)
def test_bad_network(policy_file, with_policy, text, part, remedy):
    """A network that is none, or holds more than it says, is an error with the right one."""
    found = policy_file.problems(with_policy(f'destinations: [{{cidr: "{text}", action: deny}}]'))

    assert [(5, "policies[0].destinations[0].cidr")] == [problem[:2] for problem in found]
    assert part in found[0][2]
    assert remedy in found[0][3]


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [("1", 1, 1), ("65535", 65535, 65535), ('"80-443"', 80, 443), ("5-5", 5, 5)],
)
def test_ports(policy_file, with_policy, text, low, high):
    """A number or a range, quoted or not."""
    policy = policy_file.load(
        with_policy(f"destinations: [{{cidr: fd00::1, action: deny, ports: [{text}]}}]")
    )

    assert (PortRange(low=low, high=high),) == policy.policies[0].destinations[0].ports


@pytest.mark.parametrize("text", ["0", "65536", "1-65536", "9-3", "-1", "http", "1-", "1.5", "''"])
def test_bad_ports(policy_file, with_policy, text):
    """What is no port is an error at its entry."""
    found = policy_file.problems(
        with_policy(f"destinations: [{{cidr: fd00::1, action: deny, ports: [80, {text}]}}]")
    )

    assert [(5, "policies[0].destinations[0].ports[1]")] == [problem[:2] for problem in found]
