#!/bin/sh
# SPDX-License-Identifier: ISC
# Makes ./configure from configure.ac: needed in a git checkout only.
set -eu
cd "$(dirname "$0")"
exec autoreconf -i
