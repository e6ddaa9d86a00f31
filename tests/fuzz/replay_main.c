/* SPDX-License-Identifier: ISC */
/*
 * main() of a fuzz target that is built without libFuzzer: runs the target over
 * the files and directories it is given, and over every truncation of each
 * input, so that a corpus also serves as a test of short reads.
 *
 * Limits: an input is at most INPUT_MAX bytes; inputs over TRUNCATE_MAX are run
 * whole only.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define INPUT_MAX    (1u << 20)
#define TRUNCATE_MAX 4096u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t input[INPUT_MAX];

/* The target gets memory of exactly the input's size, so that the sanitizers
 * see a read past its end. */
static void run_copy(size_t size)
{
	uint8_t *copy = malloc(size > 0 ? size : 1);

	if (copy == NULL) {
		fputs("replay: out of memory\n", stderr);
		exit(1);
	}
	memcpy(copy, input, size);
	(void)LLVMFuzzerTestOneInput(copy, size);
	free(copy);
}

static int run_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	size_t size;

	if (file == NULL) {
		perror(path);
		return 1;
	}
	size = fread(input, 1, sizeof(input), file);
	fclose(file);

	run_copy(size);
	if (size <= TRUNCATE_MAX) {
		for (size_t cut = 0; cut < size; cut++)
			run_copy(cut);
	}
	return 0;
}

static int run_directory(const char *path, unsigned *files)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	int failed = 0;

	if (dir == NULL) {
		perror(path);
		return 1;
	}
	while ((entry = readdir(dir)) != NULL) {
		char name[4096];

		if (entry->d_name[0] == '.')
			continue;
		(void)snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
		failed |= run_file(name);
		(*files)++;
	}
	closedir(dir);
	return failed;
}

int main(int argc, char **argv)
{
	unsigned files = 0;
	int failed = 0;

	for (int i = 1; i < argc; i++) {
		struct stat st;

		if (argv[i][0] == '-')
			continue; /* libFuzzer's options mean nothing here. */
		if (stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode)) {
			failed |= run_directory(argv[i], &files);
		} else {
			failed |= run_file(argv[i]);
			files++;
		}
	}
	printf("%s: %u inputs\n", argv[0], files);
	return failed;
}
