/* SPDX-License-Identifier: ISC */
#include "main/mock_key.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/rand.h"
#include "base/slog.h"
#include "base/text.h"
#include "config/doc.h"
#include "main/program.h"

enum { DIGITS = 2 * SCRAM_MOCK_KEY_LEN, FILE_MAX = 4096 };

/* --- the file ---------------------------------------------------------------------------- */

/* The digits, and at most one end of a line. */
static bool parse(const char *text, size_t len, uint8_t key[SCRAM_MOCK_KEY_LEN])
{
	if (len > 0 && text[len - 1] == '\n')
		len--;
	return len == DIGITS && hex_read(key, text, SCRAM_MOCK_KEY_LEN);
}

static int read_key(const char *path, uint8_t key[SCRAM_MOCK_KEY_LEN], struct diag *diag)
{
	char *text;
	size_t len;
	int ret = doc_read_file(path, FILE_MAX, &text, &len, diag);

	if (ret < 0)
		return ret;
	if (!parse(text, len, key)) {
		diag_set(diag, path, 0, 0, "is no key: not %d hexadecimal digits", (int)DIGITS);
		ret = -EINVAL;
	}
	doc_free_text(text, len);
	if (ret == 0 && doc_is_public(path))
		SLOG(WARN, "config-warning",
			"text=\"everybody may read %s, which holds a key; chmod 600 would hide it\"",
			path);
	return ret;
}

static int write_all(int fd, const uint8_t key[SCRAM_MOCK_KEY_LEN])
{
	char text[DIGITS + 1];
	ssize_t written;

	hex_write(text, key, SCRAM_MOCK_KEY_LEN);
	text[DIGITS] = '\n';
	written = write(fd, text, sizeof(text));
	explicit_bzero(text, sizeof(text));
	if (written < 0)
		return -errno;
	if ((size_t)written < sizeof(text))
		return -ENOSPC;
	return fsync(fd) < 0 ? -errno : 0;
}

/* Under its name it is there whole or not at all, and the first of two stays. */
static int make_file(const char *path, const uint8_t key[SCRAM_MOCK_KEY_LEN])
{
	char *made;
	int fd, ret;

	if (asprintf(&made, "%s.XXXXXX", path) < 0)
		return -ENOMEM;
	fd = mkostemp(made, O_CLOEXEC);
	if (fd < 0) {
		ret = -errno;
	} else {
		ret = write_all(fd, key);
		close(fd);
		if (ret == 0 && link(made, path) < 0 && errno != EEXIST)
			ret = -errno;
		(void)unlink(made);
	}
	free(made);
	return ret;
}

/* key: what a new file is to hold; in the end what the file holds. */
static int keep(const char *path, uint8_t key[SCRAM_MOCK_KEY_LEN], struct diag *diag)
{
	int ret;

	if (access(path, F_OK) < 0 && errno == ENOENT) {
		ret = make_file(path, key);
		if (ret < 0) {
			diag_set(diag, path, 0, 0, "cannot be made: %s", strerror(-ret));
			return ret;
		}
	}
	return read_key(path, key, diag);
}

/* --- which one --------------------------------------------------------------------------- */

/* systemd names several, with colons between them, where the unit does. */
static char *default_path(void)
{
	const char *directory = getenv("STATE_DIRECTORY");
	char *path;

	if (directory == NULL || directory[0] != '/')
		return NULL;
	if (asprintf(&path, "%.*s/mock_key", (int)strcspn(directory, ":"), directory) < 0)
		return NULL;
	return path;
}

int mock_key_set_up(struct program *p, struct diag *diag)
{
	const char *name = p->config->auth.auth_mock_key_file;
	uint8_t *key = p->router.mock_key;
	char *path = name[0] == '\0' ? default_path() : config_file_path(p->config, name);
	struct diag why = { 0 };
	int ret = 0;

	if (p->handover.has_mock_key)
		memcpy(key, p->handover.mock_key, SCRAM_MOCK_KEY_LEN);
	explicit_bzero(p->handover.mock_key, sizeof(p->handover.mock_key));
	if (name[0] != '\0')
		ret = path == NULL ? -ENOMEM : keep(path, key, diag);
	else if (path != NULL && keep(path, key, &why) < 0)
		SLOG(WARN, "mock-key", "file=%s error=\"%s\"", path, why.text);
	free(path);
	return ret;
}
