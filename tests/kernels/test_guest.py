"""What the data path builds on, tried alone: it fails here first where a kernel lacks it."""

import json
import os
import subprocess
import sys

import pytest

from dlp.datapath import headers

pytestmark = pytest.mark.guest

PROGRAM = r"""
#include <uapi/linux/bpf.h>
#include <uapi/linux/pkt_cls.h>
BPF_ARRAY(seen, u64, 1);
int count(struct __sk_buff *skb)
{
	int key = 0;
	seen.increment(key);
	return skb->len > 1000 ? TC_ACT_SHOT : TC_ACT_OK;
}
"""

# Runs in the namespace: load, attach to egress with a fixed priority and handle, send, count.
ATTACH = """
import socket, sys
from bcc import BPF
from pyroute2 import IPRoute
program = BPF(text=sys.argv[1])
count = program.load_func("count", BPF.SCHED_CLS)
with IPRoute() as ip:
    index = ip.link_lookup(ifname="inner")[0]
    ip.tc("add", "clsact", index)
    ip.tc("add-filter", "bpf", index, 7, fd=count.fd, name="count",
          parent="ffff:fff3", prio=10, direct_action=True)
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
    for size in (10, 1200, 10):
        sender.sendto(b"x" * size, ("192.0.2.2", 9))
print(program["seen"][0].value)
"""


def sh(command: str) -> str:
    return subprocess.run(
        command.split(), check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def namespaces():
    """Two namespaces and a veth pair between them: `inner` at 192.0.2.1, `outer` at 192.0.2.2."""
    names = [f"dlp-guest-{side}-{os.getpid()}" for side in ("in", "out")]
    try:
        for name in names:
            sh(f"ip netns add {name}")
        sh(
            f"ip link add inner netns {names[0]} address 02:00:00:00:00:01"
            f" type veth peer name outer netns {names[1]} address 02:00:00:00:00:02"
        )
        for name, device, address in zip(names, ("inner", "outer"), ("1", "2"), strict=True):
            sh(f"ip -n {name} addr add 192.0.2.{address}/24 dev {device}")
            # No IPv6, fixed neighbours: the only packets are those that the test sends.
            sh(f"nsenter --net=/run/netns/{name} sysctl -w net.ipv6.conf.all.disable_ipv6=1")
            sh(f"ip -n {name} link set {device} up")
        sh(f"ip -n {names[0]} neigh add 192.0.2.2 lladdr 02:00:00:00:00:02 dev inner")
        sh(f"ip -n {names[1]} neigh add 192.0.2.1 lladdr 02:00:00:00:00:01 dev outer")
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


@pytest.mark.netns
def test_classifier_attaches_and_drops(namespaces, monkeypatch):
    """A classifier compiled here attaches to clsact egress, sees every packet and drops one."""
    monkeypatch.setenv("BCC_KERNEL_SOURCE", "")  # so that what `use` sets is undone
    headers.use(headers.find())
    inner, outer = namespaces
    done = subprocess.run(
        ["nsenter", f"--net=/run/netns/{inner}", sys.executable, "-c", ATTACH, PROGRAM],
        check=False,
        capture_output=True,
        text=True,
    )

    assert "" == done.stderr
    assert 3 == int(done.stdout)
    (device,) = json.loads(sh(f"ip -n {outer} -j -s link show outer"))
    assert 2 == device["stats64"]["rx"]["packets"]
    filters = sh(f"tc -n {inner} filter show dev inner egress")
    assert "pref 10" in filters
    assert "handle 0x7" in filters


def test_vlan_device(namespaces):
    """The kernel tags frames: the checks of VLAN parsing have a device to run on."""
    inner, _ = namespaces
    sh(f"ip -n {inner} link add link inner name tagged type vlan id 7")

    assert "vlan" in sh(f"ip -n {inner} -d link show tagged")
