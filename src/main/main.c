/* SPDX-License-Identifier: ISC */
/*
 * The command line.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "main/commands.h"

enum { EXIT_USAGE = 2 };

enum { OPT_CONFIG = 256, OPT_CHECK, OPT_IMPORT, OPT_DUMP, OPT_VERSION, OPT_HELP };

static void usage(FILE *to)
{
	fputs("usage: pgtandem [--config FILE]\n"
	      "       pgtandem --check FILE\n"
	      "       pgtandem --import FILE.ini...\n"
	      "       pgtandem --dump=man|sample|options|metrics|events|console\n"
	      "       pgtandem ctl ...    the same as pgtandemctl ...\n"
	      "       pgtandem --version | --help\n"
	      "\n"
	      "Routes PostgreSQL connections: several ports, each with its pooling mode,\n"
	      "and one budget of server connections for all of them.\n"
	      "\n"
	      "  -c, --config FILE   the configuration (default /etc/pgtandem/pgtandem.yaml)\n"
	      "      --check FILE    read and check a configuration, and exit\n"
	      "      --import FILE.ini...  print one configuration made of PgBouncer's; what\n"
	      "                      could not be carried over is on standard error\n"
	      "      --dump=WHAT     print the options as manual, sample file or table,\n"
	      "                      or metrics or events as manual\n"
	      "  -V, --version       print the version, and exit\n"
	      "  -h, --help          print this, and exit\n"
	      "\n"
	      "SIGHUP reloads, SIGTERM drains and stops, SIGINT waits for servers only,\n"
	      "SIGQUIT stops at once.  See pgtandem(1) and pgtandem.yaml(5).\n",
		to);
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "check", required_argument, NULL, OPT_CHECK },
		{ "import", no_argument, NULL, OPT_IMPORT },
		{ "dump", required_argument, NULL, OPT_DUMP },
		{ "version", no_argument, NULL, 'V' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	const char *path = command_default_path();
	int opt, status;

	if (argc > 1 && strcmp(argv[1], "ctl") == 0)
		return command_ctl(argv + 1);
	while ((opt = getopt_long(argc, argv, "c:Vh", longs, NULL)) != -1) {
		switch (opt) {
		case 'c':
			path = optarg;
			break;
		case OPT_CHECK:
			return command_check(optarg);
		case OPT_IMPORT:
			if (optind < argc)
				return command_import(argv + optind, argc - optind);
			(void)fprintf(stderr, "pgtandem: --import takes files\n");
			return EXIT_USAGE;
		case OPT_DUMP:
			status = command_dump(optarg);
			if (status >= 0)
				return status;
			(void)fprintf(stderr,
				"pgtandem: --dump takes man, sample, options, metrics, events or console\n");
			return EXIT_USAGE;
		case 'V':
			(void)printf("pgtandem %s\n", PGTANDEM_VERSION);
			return EXIT_SUCCESS;
		case 'h':
			usage(stdout);
			return EXIT_SUCCESS;
		default:
			usage(stderr);
			return EXIT_USAGE;
		}
	}
	if (optind < argc) {
		(void)fprintf(stderr, "pgtandem: unexpected argument \"%s\"\n", argv[optind]);
		usage(stderr);
		return EXIT_USAGE;
	}
	return command_run(path);
}
