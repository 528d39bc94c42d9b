#!/usr/bin/env bash
# Sets up .venv with the pinned packages, Java where it is missing, and Delta's jars. Called by make; safe to repeat.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "setup: $*" >&2; }
fail() { say "$*"; exit 2; }

as_root() { # run a command as root, if that can be done without asking
  if [ "$(id -u)" = 0 ]; then "$@"; elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then sudo -n "$@"; else return 1; fi
}

apt_install() { # install the first of the named packages that there is
  command -v apt-get >/dev/null || return 1
  as_root true 2>/dev/null || return 1
  as_root apt-get update -qq >&2 || return 1
  local package
  for package in "$@"; do
    if DEBIAN_FRONTEND=noninteractive as_root apt-get install -y -qq "$package" >&2; then return 0; fi
  done
  return 1
}

java_major() { # print the major version of a java command, nothing where it does not run
  "$1" -version 2>&1 | sed -nE '1s/.*version "([0-9]+).*/\1/p' || true
}

find_java() { # print the home of a Java 17 or 21, or "path" where the one on the PATH (or JAVA_HOME) serves
  local java home
  java=${JAVA_HOME:+$JAVA_HOME/bin/}java
  if command -v "$java" >/dev/null; then
    case "$(java_major "$java")" in 17 | 21) echo path; return 0 ;; esac
  fi
  for home in /usr/lib/jvm/java-17-* /usr/lib/jvm/java-21-* /usr/lib/jvm/*-17* /usr/lib/jvm/*-21*; do
    [ -x "$home/bin/java" ] || continue
    case "$(java_major "$home/bin/java")" in 17 | 21) echo "$home"; return 0 ;; esac
  done
  return 1
}

python=${PYTHON:-python3.11}
command -v "$python" >/dev/null || python=python3
"$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null \
  || fail "Python 3.11 is needed (petastorm's and PySpark's pins meet only there): install python3.11, or give PYTHON=/path/to/python3.11"

if ! java=$(find_java); then
  say "Java 17 is missing, installing it"
  apt_install openjdk-17-jre-headless openjdk-21-jre-headless && java=$(find_java) \
    || fail "Java 17 or 21 is needed and could not be installed: run 'apt-get install openjdk-17-jre-headless' as root, or set JAVA_HOME"
fi

if ! [ -x .venv/bin/python ] || ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
  say "making .venv"
  rm -rf .venv
  "$python" -m venv .venv >/dev/null 2>&1 \
    || { rm -rf .venv; apt_install python3.11-venv python3-venv && "$python" -m venv .venv; } \
    || fail "python3.11 has no venv module: run 'apt-get install python3.11-venv' as root"
fi
if [ "$java" = path ]; then rm -f .venv/java_home; else echo "$java" >.venv/java_home; export JAVA_HOME=$java; fi

say "installing the packages pinned in constraints.txt (some minutes the first time)"
.venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt pip setuptools wheel
.venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,bench]'

say "fetching Delta's jars and compiling the kernels"
log=.venv/spark-setup.log
.venv/bin/python -m musicrec.warm_up conf >"$log" 2>&1 \
  || { tail -n 5 "$log" >&2; fail "Spark could not start with Delta, or an engine did not run: see $log"; }
touch .venv/.ready
say "done"
