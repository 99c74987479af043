#!/usr/bin/env bash
# Brings a bare Debian 12 machine to where every make target works: system packages, a virtual
# environment, the project itself. Safe to run again at any time; installs only what is missing.
#
# usage: deploy/setup.sh           set up, then leave a stamp
#        deploy/setup.sh --stamp   print the stamp's path and do nothing
#
# The stamp is named after the content of this file and of pyproject.toml, not after their times:
# a fresh clone or a branch switch must neither set up needlessly nor miss a changed dependency.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."

stamp=.venv/.setup-$(cat deploy/setup.sh pyproject.toml | sha256sum | cut -c1-16)
if [ "${1:-}" = --stamp ]; then
	echo "$stamp"
	exit 0
fi

step() { printf 'setup: %s\n' "$*"; }
fail() {
	printf 'setup: error: %s\n' "$1" >&2
	printf 'setup: remedy: %s\n' "$2" >&2
	exit 3
}

packages=(
	# data path
	python3-bpfcc       # bcc; its namesake on PyPI is another library
	linux-headers-amd64 # bcc compiles against them, whatever kernel runs (dlp/datapath/headers.py)
	iproute2 iptables ethtool kmod
	# Python; the interpreter of Debian, since bcc is built for that one
	python3-venv
	# lab: the programs of the scenarios
	curl netcat-openbsd bind9-dnsutils procps openssl
	# bench: load, and the C relay on Hyperscan that it compares with
	iperf3 gcc libc6-dev libhyperscan-dev
	# test-kernels: Debian's kernels under qemu on this root file system
	qemu-system-x86 busybox-static cpio xz-utils
)

# ------------------------------------------------------------------------------- what we stand on

[ "$(id -u)" = 0 ] || fail "not root" "run it as root: sudo make setup"
# shellcheck source=/dev/null
. /etc/os-release 2>/dev/null || true
[ "${ID:-}" = debian ] || fail "this is ${PRETTY_NAME:-no system we know}, not Debian" \
	"use Debian 12, or install by hand what deploy/setup.sh lists"
[ "${VERSION_ID:-0}" -ge 12 ] || fail "Debian ${VERSION_ID:-of unknown version} is too old" "use Debian 12"
[ "$(dpkg --print-architecture)" = amd64 ] || fail "architecture $(dpkg --print-architecture)" \
	"use an amd64 machine: nothing else is tested"

# Two set-ups at once (two terminals, CI beside a developer) would fight over apt and .venv.
exec 9>"/run/lock/dlp-setup.lock"
flock --nonblock 9 || {
	step "another set-up is running, waiting for it"
	flock 9
	[ -e "$stamp" ] && step "done by it" && exit 0
}

# ------------------------------------------------------------------------------- system packages

installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

missing=()
for package in "${packages[@]}"; do
	installed "$package" || missing+=("$package")
done
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if [ ${#missing[@]} -gt 0 ]; then
	step "installing ${missing[*]}"
	export DEBIAN_FRONTEND=noninteractive
	apt=(apt-get -q -o DPkg::Lock::Timeout=600)
	"${apt[@]}" update >"$log" 2>&1 || step "apt-get update failed, going on with the old lists"
	"${apt[@]}" install -y --no-install-recommends "${missing[@]}" >"$log" 2>&1 || {
		tail -n 20 "$log" >&2
		fail "apt-get could not install ${missing[*]}" "mend what apt-get says above, then run this again"
	}
	for package in "${missing[@]}"; do
		installed "$package" || fail "$package is still missing" "apt-get install $package"
	done
fi
step "system packages: ${#packages[@]} present, ${#missing[@]} of them new"

# ------------------------------------------------------------------------------------------ venv

# By its full path: the `python3` found first may be pyenv's, which cannot see Debian's bcc.
python=/usr/bin/python3
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
	fail "$python is $("$python" --version)" "Python 3.11 or later is needed"

if ! grep -qs '^include-system-site-packages = true' .venv/pyvenv.cfg ||
	! .venv/bin/python -c '' 2>/dev/null; then
	step "creating .venv"
	rm -rf .venv
	"$python" -m venv --system-site-packages .venv
fi
rm -f .venv/.setup-*
step "installing Python packages"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]' >"$log" 2>&1 || {
	grep -v '^WARNING: ' "$log" | tail -n 20 >&2
	fail "pip could not install the dependencies" "mend what pip says above, then run this again"
}
.venv/bin/python -c 'import bcc; bcc.BPF' 2>/dev/null || fail \
	"the virtual environment does not see Debian's bcc" \
	"remove a package named bcc from it (.venv/bin/pip uninstall bcc) and run this again"

touch "$stamp"
step "done"
