/* SPDX-License-Identifier: ISC */
#include "main/commands.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "admin/manual.h"
#include "base/diag.h"
#include "config/dump.h"
#include "config/import.h"
#include "http/exposition.h"
#include "main/program.h"

static void dump_metrics(FILE *out)
{
	exposition_dump_man(out);
}

/* Written, but not all of it could be carried over. */
enum { EXIT_LOST = 3 };

/* As of a shell: none of pgtandemctl's own. */
enum { EXIT_NOT_RUN = 126, EXIT_NOT_FOUND = 127 };

static void dump_events(FILE *out)
{
	static const char *const events[][2] = {
#define EVENT(name, help) { (name), (help) },
#include "events.def"
#undef EVENT
	};

	for (size_t i = 0; i < COUNT_OF(events); i++)
		(void)fprintf(out, ".It Li %s\n%s\n", events[i][0], events[i][1]);
}

/* All that went to standard output.  Long texts are written before the end, and what fails
 * then fflush() does not tell any more. */
static bool is_written(void)
{
	if (fflush(stdout) == 0 && ferror(stdout) == 0)
		return true;
	(void)fprintf(stderr, "pgtandem: not all of it could be written\n");
	return false;
}

static const struct {
	const char *what;
	void (*dump)(FILE *);
} dumps[] = {
	{ "man", dump_man },
	{ "sample", dump_sample },
	{ "options", dump_options },
	{ "metrics", dump_metrics },
	{ "events", dump_events },
	{ "console", manual_write },
};

int command_ctl(char **argv)
{
	static char name[] = "pgtandemctl";
	char path[PATH_MAX + sizeof(name)], *slash;
	ssize_t len = readlink("/proc/self/exe", path, PATH_MAX);
	int error;

	argv[0] = name;
	path[len < 0 ? 0 : len] = '\0';
	slash = strrchr(path, '/');
	if (slash != NULL) {
		memcpy(slash + 1, name, sizeof(name));
		(void)execv(path, argv);
	}
	(void)execvp(name, argv);
	error = errno;
	(void)fprintf(stderr, "pgtandem: %s: %s\n", name, strerror(error));
	return error == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_RUN;
}

const char *command_default_path(void)
{
	return config_default_path();
}

int command_run(const char *path)
{
	static struct program program;

	return program_run(&program, path);
}

int command_check(const char *path)
{
	char text[DIAG_TEXT_MAX + DIAG_FILE_MAX];
	struct config *config;
	struct diag diag;

	diag_clear(&diag);
	config = config_load(path, &diag);
	if (config == NULL || route_tls_check(config, &diag) < 0) {
		(void)fprintf(stderr, "%s\n", diag_format(&diag, text, sizeof(text)));
		config_unref(config);
		return EXIT_FAILURE;
	}
	for (size_t i = 0; i < config->warnings.count; i++)
		(void)fprintf(stderr, "warning: %s\n", config->warnings.items[i]);
	(void)printf("%s: ok\n", path);
	config_unref(config);
	return is_written() ? EXIT_SUCCESS : EXIT_FAILURE;
}

static void say(void *arg, bool lost, const char *file, uint32_t line, const char *text)
{
	(void)arg;
	if (file == NULL)
		(void)fprintf(stderr, "note: %s\n", text);
	else if (line == 0)
		(void)fprintf(stderr, "%s: %s%s\n", file, lost ? "not carried over: " : "note: ", text);
	else
		(void)fprintf(stderr, "%s:%u: %s%s\n", file, line,
			lost ? "not carried over: " : "note: ", text);
}

int command_import(char *const *paths, int count)
{
	char text[DIAG_TEXT_MAX + DIAG_FILE_MAX];
	struct diag diag;
	struct buf out;
	size_t lost = 0;
	int ret;

	diag_clear(&diag);
	buf_init(&out, 0);
	ret = import_files((const char *const *)paths, (size_t)count, &out, &lost, say, NULL,
		&diag);
	if (ret == 0)
		(void)fwrite(buf_data(&out), 1, buf_len(&out), stdout);
	else
		(void)fprintf(stderr, "%s\n", diag_format(&diag, text, sizeof(text)));
	buf_wipe(&out);
	if (ret < 0 || !is_written())
		return EXIT_FAILURE;
	return lost > 0 ? EXIT_LOST : EXIT_SUCCESS;
}

int command_dump(const char *what)
{
	for (size_t i = 0; i < COUNT_OF(dumps); i++) {
		if (strcmp(dumps[i].what, what) != 0)
			continue;
		dumps[i].dump(stdout);
		return is_written() ? EXIT_SUCCESS : EXIT_FAILURE;
	}
	return -1;
}
