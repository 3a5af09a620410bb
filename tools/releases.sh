#!/bin/sh
# Lists the releases of Runicorn on PyPI, from 0.5.0 on, that no test covers yet:
# those without a file in internal/realviewer/requirements. Its exit
# code is always 0.
#
# Usage: tools/releases.sh
cd "$(dirname "$0")/.." || exit 0
python="${PYTHON:-python3}"
# Pre-releases come with --pre; "Available versions:" is one line.
if ! index=$("$python" -m pip index versions --pre --disable-pip-version-check runicorn 2>/dev/null); then
    echo "releases: the list of releases cannot be had"
    exit 0
fi
untried=
for version in $(echo "$index" | sed -n 's/^Available versions: //p' | tr -d ','); do
    case $version in
        0.[0-4].* | 0.[0-4]) continue ;;
    esac
    [ -e "internal/realviewer/requirements/$version.txt" ] || untried="$untried $version"
done
if [ -z "$untried" ]; then
    echo "releases: every release from 0.5.0 on is tried by the tests"
else
    echo "releases: never tried:$untried"
    echo "releases: add internal/realviewer/requirements/VERSION.txt and the version to Releases in internal/realviewer"
fi
