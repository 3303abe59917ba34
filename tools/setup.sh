#!/bin/sh
# Makes a Debian 12 machine ready: the Debian packages of tools/debian-packages.txt that are missing, and the npm packages
# of package-lock.json. Does nothing when there is nothing to do.
# Usage: tools/setup.sh [SECTION…], sections of debian-packages.txt; default all of them.
set -eu
cd "$(dirname "$0")/.."
stamps=.setup
mkdir -p "$stamps"

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

# Two set-ups at once would both unpack into node_modules.
exec 9>"$stamps/lock"
flock 9

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null; then sudo "$@"
  else fail "\`$1\` needs root, and there is no sudo: run this as root once"
  fi
}

# Prints the packages of the sections given, or of all.
wanted() {
  sed 's/#.*//; s/[[:space:]]*$//; /^$/d' tools/debian-packages.txt | while read -r line; do
    case $line in
      \[*\]) section=${line#[}; section=${section%]} ;;
      *) case " ${*:-$section} " in *" $section "*) echo "$line" ;; esac ;;
    esac
  done
}

missing() {
  installed=$(dpkg-query --show --showformat='${db:Status-Abbrev} ${Package}\n' | sed -n 's/^.i. *//p')
  for package in "$@"; do
    printf '%s\n' "$installed" | grep -qxF "$package" || printf '%s ' "$package"
  done
}

# Debian starts the daemons of a package when it installs them. A resolver or web server that nobody asked for would take
# ports on the user's machine, so for the time of the installation every start is refused (101, policy-rc.d), and what
# this installation brought is kept from starting at the next boot.
install_packages() {
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    trap 'as_root rm -f "$policy"' EXIT
    trap 'exit 130' INT TERM
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
  fi
  status=0
  as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq || status=$?
  [ "$status" = 0 ] && { as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" || status=$?; }
  [ "$status" = 0 ] || fail "apt-get ended with $status"
  [ -d /run/systemd/system ] || return 0
  for package in "$@"; do
    case $package in
      dnsmasq) unit=dnsmasq ;;
      haproxy) unit=haproxy ;;
      unbound) unit=unbound ;;
      nginx-light) unit=nginx ;;
      iodine) unit=iodined ;;
      dns2tcp) unit=dns2tcp ;;
      openssh-server) unit=ssh ;;
      *) continue ;;
    esac
    as_root systemctl --quiet disable "$unit" || say "the unit $unit could not be disabled"
  done
}

command -v dpkg-query >/dev/null || fail "this is not Debian: install the packages of tools/debian-packages.txt yourself"
lacking=$(missing $(wanted "$@"))
command -v npm >/dev/null || lacking="$lacking npm"
if [ -n "$lacking" ]; then
  say "installing Debian packages: $lacking"
  # shellcheck disable=SC2086
  install_packages $lacking
fi

# Not `npm ci`: npm 11 refuses a lock file without an entry for every platform a tool is published for, and this one
# holds only those that Cofferdam runs on. `npm install --no-save` unpacks the locked versions, checks their digests and
# leaves the lock file alone; that nothing else came in is looked at afterwards. The install scripts of packages are not
# needed: the pinned Node and koffi come built.
lock=$(sha256sum package-lock.json)
if [ ! -e node_modules/.package-lock.json ] || [ "$lock" != "$(cat "$stamps/npm" 2>/dev/null)" ]; then
  say "unpacking npm packages"
  rm -f "$stamps/npm"
  npm install --no-save --no-audit --no-fund --ignore-scripts --engine-strict=false --loglevel=error
  [ "$lock" = "$(sha256sum package-lock.json)" ] || fail "npm has changed package-lock.json"
  ./cofferdam --node tools/check-lock.ts
  printf '%s\n' "$lock" >"$stamps/npm"
fi
./cofferdam --node --version >/dev/null || fail "the pinned Node does not run here"
