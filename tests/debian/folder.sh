# SPDX-License-Identifier: ISC
# shellcheck shell=sh disable=SC2154
# A Debian in a folder, and the steps that are done in it: for tests/debian/run and
# tests/systemd/run, which have set
#
#   root     the tree
#   release  bookworm, trixie
#   place    the folder, which is used again
#   limit    seconds that each step may take

[ "$(id -u)" -eq 0 ] || {
	echo "debian: only root may change the root directory" >&2
	exit 1
}
command -v debootstrap >/dev/null || {
	echo "debian: debootstrap is missing: tools/install-deps debian" >&2
	exit 1
}

# ------------------------------------------------------------------ the folder

# Where this machine has its own packages from.
mirror() {
	# A word for apt-get.
	# shellcheck disable=SC2016
	apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Label: Debian' | sed -n 1p
}

make_folder() {
	[ ! -e "$place/etc/debian_version" ] || return 0
	debootstrap --variant=minbase "$release" "$place" "$(mirror)"
	# Nothing is to be started in there.
	printf '#!/bin/sh\nexit 101\n' > "$place/usr/sbin/policy-rc.d"
	chmod 755 "$place/usr/sbin/policy-rc.d"
}

begin() {
	make_folder
	mkdir -p "$logs"
	# As this machine finds other hosts.
	cp -L /etc/resolv.conf "$place/etc/resolv.conf"
}

# copy_files PATH...: those of the tree that git knows.
copy_files() {
	(cd "$root" && git ls-files -z -- "$@" | tar --null -cf - -T -) | tar -xf - --no-same-owner -C "$place/pgtandem"
}

copy_tree() {
	rm -rf "$place/pgtandem"
	mkdir "$place/pgtandem"
	copy_files .
}

# Runs a command line in there.  All of it ends with it: processes and mounts.
inside() {
	# The words are for the shell behind unshare.
	# shellcheck disable=SC2016
	timeout --kill-after=10 "$limit" unshare --mount --pid --fork --kill-child sh -eu -c '
		mount --make-rprivate /
		# What is the root has to be a mount for who changes mounts in there.
		mount --bind "$1" "$1"
		mount -t proc proc "$1/proc"
		mount -t sysfs -o ro sysfs "$1/sys"
		mount --rbind /dev "$1/dev"
		mount -t tmpfs -o mode=1777 tmpfs "$1/dev/shm"
		exec chroot "$1" env -i HOME=/root LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 \
			PATH=/usr/sbin:/usr/bin:/sbin:/bin sh -eu -c "cd /pgtandem && $2"
	' sh "$place" "$1"
}

# ------------------------------------------------------------------- the steps

logs=$place/var/log/pgtandem-steps
failed=

# step NAME COMMAND...: its output goes to a log, whose end is shown on failure.
step() {
	name=$1
	shift
	from=$(date +%s)
	if "$@" > "$logs/$name.log" 2>&1; then
		echo "ok      $name ($(($(date +%s) - from)) s)"
	else
		echo "FAILED  $name ($(($(date +%s) - from)) s): $logs/$name.log ends with"
		tail -n 60 "$logs/$name.log" | sed 's/^/    /'
		failed="$failed $name"
	fi
}
