/* SPDX-License-Identifier: ISC */
/*
 * What the process may use, and as whom.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/slog.h"
#include "main/program.h"

/* Rings, logs, HTTP connections that end, and the like. */
enum {
	FILES_BESIDE = 200,
	FILES_PER_WORKER = 8,
	CLIENTS_OVERFLOW = 100,
	BUDGET_AUTO_FILES = 1000        /* what PostgreSQL allows is not known yet */
};

static uint64_t host_files(const struct config_host *host)
{
	uint64_t budget = host->budget;

	if (config_host_is_auto(host) && budget < BUDGET_AUTO_FILES)
		budget = BUDGET_AUTO_FILES;
	return budget + host->options.max_cancel_connections +
		host->options.max_replication_connections;
}

static uint64_t listening_files(const struct config *config)
{
	uint64_t count = config->admin.listen.count + config->http.listen.count;

	for (size_t i = 0; i < config->workload_count; i++)
		count += config->workloads[i].options.listen.count;
	return count;
}

static uint64_t files_needed(const struct config *config, uint32_t workers)
{
	uint64_t need = FILES_BESIDE + FILES_PER_WORKER * (uint64_t)workers;

	need += config->process.max_client_conn + CLIENTS_OVERFLOW;
	need += listening_files(config);
	if (config->http.listen.count > 0)
		need += config->http.max_connections;
	for (size_t i = 0; i < config->host_count; i++)
		need += host_files(&config->hosts[i]);
	return need;
}

int limits_apply(const struct config *config, uint32_t workers, struct diag *diag)
{
	uint64_t need = files_needed(config, workers);
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return -errno;
	if (limit.rlim_cur < need) {
		struct rlimit more = { .rlim_cur = need, .rlim_max = limit.rlim_max };

		if (more.rlim_max < need)
			more.rlim_max = need;
		if (setrlimit(RLIMIT_NOFILE, &more) == 0)
			limit = more;
		else if (limit.rlim_max >= need)
			limit.rlim_max = 0;
	}
	if (limit.rlim_cur >= need)
		return 0;
	diag_set(diag, NULL, 0, 0,
		"process.max_client_conn %u, the connections to hosts and of http need %lu open files, and the limit is %lu: lower max_client_conn, or raise the limit (ulimit -n; LimitNOFILE= of systemd)",
		config->process.max_client_conn, (unsigned long)need,
		(unsigned long)limit.rlim_cur);
	return -EMFILE;
}

/* systemd from 255 on takes CAP_SETUID from what it starts with a User= and a seccomp filter,
 * and NoNewPrivileges= keeps root from having it back. */
static const char may_not_become[] =
	"; it takes CAP_SETUID and CAP_SETGID, and in a unit of systemd User= without a name, for User=root takes CAP_SETUID away";

int limits_become(struct program *p, struct diag *diag)
{
	const char *user = p->config->process.user;
	const struct passwd *pw;

	if (user[0] == '\0')
		return 0;
	pw = getpwnam(user);
	if (pw == NULL) {
		diag_set(diag, NULL, 0, 0, "process.user: there is no system user \"%s\"",
			user);
		return -ENOENT;
	}
	if (getuid() == pw->pw_uid)
		return 0;
	log_give(pw->pw_uid, pw->pw_gid);
	entrances_give(p, pw->pw_uid, pw->pw_gid);
	if (initgroups(user, pw->pw_gid) < 0 || setgid(pw->pw_gid) < 0 ||
		setuid(pw->pw_uid) < 0) {
		diag_set(diag, NULL, 0, 0, "process.user: cannot become \"%s\": %s%s", user,
			strerror(errno), errno == EPERM ? may_not_become : "");
		return -EPERM;
	}
	return 0;
}

void limits_set_dumpable(bool is_dumpable)
{
	if (prctl(PR_SET_DUMPABLE, is_dumpable ? 1 : 0, 0, 0, 0) < 0)
		SLOG(WARN, "core-dumps", "error=\"%s\"", strerror(errno));
}

/* Who takes over after a restart runs as that user, and writes it again. */
static void give_file(FILE *file, const char *user)
{
	const struct passwd *pw = user[0] == '\0' ? NULL : getpwnam(user);

	if (pw != NULL && fchown(fileno(file), pw->pw_uid, pw->pw_gid) < 0)
		return;
}

int limits_pid_file(const char *path, const char *user, char **written, struct diag *diag)
{
	FILE *file;

	*written = NULL;
	if (path[0] == '\0')
		return 0;
	file = fopen(path, "we");
	if (file == NULL) {
		diag_set(diag, NULL, 0, 0, "process.pid_file: %s: %s", path, strerror(errno));
		return -EIO;
	}
	*written = strdup(path);
	give_file(file, user);
	(void)fprintf(file, "%ld\n", (long)getpid());
	if (fclose(file) == 0)
		return 0;
	diag_set(diag, NULL, 0, 0, "process.pid_file: %s: %s", path, strerror(errno));
	return -EIO;
}

void limits_remove_pid_file(const char *path)
{
	FILE *file = fopen(path, "re");
	long pid = 0;

	if (file == NULL)
		return;
	if (fscanf(file, "%ld", &pid) == 1 && pid == getpid())
		(void)unlink(path);
	(void)fclose(file);
}
