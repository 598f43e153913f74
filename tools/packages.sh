# SPDX-License-Identifier: Apache-2.0
# Installs Debian packages by list. Sourced by tools/quickstart and tools/check, which define
# die SENTENCE.

# missing_packages FILE...: the packages of the lists (one a line) that are not installed.
missing_packages() {
    local package
    for package in $(cat "$@"); do
        # A package of another architecture is listed as name:arch, as dpkg prints it.
        dpkg-query -W -f '${db:Status-Abbrev}\n' "$package" 2>/dev/null | grep -q '^ii' ||
            echo "$package"
    done
}

# as_root COMMAND...: runs it directly, or through sudo for an ordinary user.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "Installing packages needs root or sudo; run as root: $*"
    fi
}

# allow_architectures PACKAGE...: tells dpkg of the architectures in name:arch.
allow_architectures() {
    local package
    for package in "$@"; do
        case $package in *:*)
            dpkg --print-foreign-architectures | grep -qx "${package#*:}" ||
                as_root dpkg --add-architecture "${package#*:}"
            ;;
        esac
    done
}

# install_packages FILE...: installs what is missing of the lists, and touches nothing otherwise.
install_packages() {
    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
        die "This is not a Debian system; install by hand what these of its packages hold:" \
            $(cat "$@")
    fi
    local missing
    missing=$(missing_packages "$@")
    [ -n "$missing" ] || return 0
    echo "Installing" $missing >&2
    allow_architectures $missing
    as_root apt-get -qq update >&2 || die "apt-get update failed; is the network reachable?"
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -qq install -y --no-install-recommends $missing >&2 ||
        die "apt-get could not install:" $missing
}
