/* SPDX-License-Identifier: ISC */
#include "main/commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "config/dump.h"
#include "http/exposition.h"
#include "main/program.h"

static void dump_metrics(FILE *out)
{
	exposition_dump_man(out);
}

static const struct {
	const char *what;
	void (*dump)(FILE *);
} dumps[] = {
	{ "man", dump_man },
	{ "sample", dump_sample },
	{ "options", dump_options },
	{ "metrics", dump_metrics },
};

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
	if (config == NULL) {
		(void)fprintf(stderr, "%s\n", diag_format(&diag, text, sizeof(text)));
		return EXIT_FAILURE;
	}
	for (size_t i = 0; i < config->warnings.count; i++)
		(void)fprintf(stderr, "warning: %s\n", config->warnings.items[i]);
	(void)printf("%s: ok\n", path);
	config_unref(config);
	return EXIT_SUCCESS;
}

int command_dump(const char *what)
{
	for (size_t i = 0; i < COUNT_OF(dumps); i++) {
		if (strcmp(dumps[i].what, what) != 0)
			continue;
		dumps[i].dump(stdout);
		return EXIT_SUCCESS;
	}
	return -1;
}
