/* SPDX-License-Identifier: ISC */
#include "base/processors.h"

#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* "max 100000", or "150000 100000": microseconds of each so many. */
static uint32_t limit_of(const char *directory)
{
	unsigned long long quota, period;
	uint32_t limit = UINT32_MAX;
	char path[PATH_MAX];
	FILE *file;

	if ((size_t)snprintf(path, sizeof(path), "%s/cpu.max", directory) >= sizeof(path))
		return limit;
	file = fopen(path, "re");
	if (file == NULL)
		return limit;
	if (fscanf(file, "%llu %llu", &quota, &period) == 2 && quota > 0 && period > 0 &&
		(quota - 1) / period < UINT16_MAX)
		limit = (uint32_t)((quota - 1) / period + 1);
	(void)fclose(file);
	return limit;
}

/* Its own group's, and those of all that it is in.  A container may see the name of its
 * group and yet have it mounted as the first. */
uint32_t processors_limit(const char *of_self, const char *root)
{
	const char *name = strncmp(of_self, "0::/", 4) == 0 ? of_self : strstr(of_self, "\n0::/");
	uint32_t limit = UINT32_MAX;
	char path[PATH_MAX];
	char *end;

	if (name == NULL)
		return limit;
	name = strchr(name, '/');
	if ((size_t)snprintf(path, sizeof(path), "%s%.*s", root, (int)strcspn(name, "\n"),
		    name) >= sizeof(path))
		return limit;
	for (;;) {
		uint32_t here = limit_of(path);

		limit = here < limit ? here : limit;
		end = strrchr(path, '/');
		if (end < path + strlen(root))
			return limit;
		*end = '\0';
	}
}

static uint32_t limit_of_self(void)
{
	char of_self[PATH_MAX] = "";
	FILE *file = fopen("/proc/self/cgroup", "re");

	if (file == NULL)
		return UINT32_MAX;
	of_self[fread(of_self, 1, sizeof(of_self) - 1, file)] = '\0';
	(void)fclose(file);
	return processors_limit(of_self, "/sys/fs/cgroup");
}

uint32_t processors_usable(void)
{
	long online = sysconf(_SC_NPROCESSORS_ONLN);
	uint32_t count = online > 0 ? (uint32_t)online : 1, limit = limit_of_self();
	cpu_set_t set;

	/* More than the set has room for are an error. */
	if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0)
		count = (uint32_t)CPU_COUNT(&set);
	return count < limit ? count : limit;
}
