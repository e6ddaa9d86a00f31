/* SPDX-License-Identifier: ISC */
/*
 * Going over to another configuration: read and check all of it, open what can
 * fail, then swap.  On any error nothing has changed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/console.h"
#include "base/clock.h"
#include "base/slog.h"
#include "config/reload.h"
#include "main/program.h"
#include "session/gate.h"

/* For how many changes there was no room. */
enum { MORE_MAX = 64 };

void program_apply_log(struct program *p)
{
	const struct process_options *process = &p->config->process;
	const struct gate_limits gate = { .unproven = process->max_unauthenticated,
		.per_address = process->max_client_conn_per_address,
		.unproven_per_address = process->max_unauthenticated_per_address };

	slog_set_level(p->config->log.level);
	atomic_store(&p->router.drain_ends_idle, process->drain_ends_idle);
	atomic_store(&p->router.drain_timeout_us, process->drain_timeout_us);
	atomic_store(&p->router.log_connections, p->config->log.log_connections);
	atomic_store(&p->router.log_disconnections, p->config->log.log_disconnections);
	atomic_store(&p->router.suspend_timeout_us, process->suspend_timeout_us);
	atomic_store(&p->router.max_client_conn, p->config->process.max_client_conn);
	gate_set_limits(p->router.gate, &gate);
	atomic_store(&p->router.statement_memory,
		p->config->process.max_statement_memory_bytes);
	for (size_t i = 0; i < p->config->warnings.count; i++)
		SLOG(WARN, "config-warning", "text=\"%s\"", p->config->warnings.items[i]);
}

/* What is read again, but runs already, needs no restart. */
static bool waits_for_restart(const struct program *p, const struct reload_change *c)
{
	return c->effect == OPTION_RESTART &&
		!console_runs_with(p->console, c->path, c->after == NULL ? "" : c->after);
}

static const char *effect_of(const struct program *p, const struct reload_change *c)
{
	return c->effect == OPTION_RESTART && !waits_for_restart(p, c) ?
		"as it runs" :
		option_effect_name(c->effect);
}

/* A line for each change, as many as there is room for. */
static void list_changes(const struct program *p, const struct reload_diff *diff, char *text,
	size_t size)
{
	size_t used = 0;

	for (size_t i = 0; i < diff->count; i++) {
		const struct reload_change *c = &diff->changes[i];
		size_t room = i + 1 < diff->count ? MORE_MAX : 0;
		char *line;
		int n = asprintf(&line, "\n%s: %s -> %s (%s)", c->path,
			c->before == NULL ? "(none)" : c->before,
			c->after == NULL ? "(none)" : c->after, effect_of(p, c));

		if (n < 0)
			return;
		if (used + (size_t)n + room < size) {
			memcpy(text + used, line, (size_t)n + 1);
			used += (size_t)n;
			free(line);
			continue;
		}
		free(line);
		(void)snprintf(text + used, size - used, "\nand %zu more, which the log has",
			diff->count - i);
		return;
	}
}

static void log_changes(const struct program *p, const struct config *before,
	const struct config *after, char *text, size_t size)
{
	struct reload_diff diff;
	size_t used = 0;
	int n;

	if (reload_compare(before, after, &diff) < 0)
		return;
	for (size_t i = 0; i < diff.count; i++) {
		const struct reload_change *c = &diff.changes[i];

		SLOG(INFO, "reload-change", "option=%s before=\"%s\" after=\"%s\" effect=\"%s\"",
			c->path, c->before == NULL ? "" : c->before,
			c->after == NULL ? "" : c->after, effect_of(p, c));
	}
	n = snprintf(text, size, "%zu setting%s changed", diff.count, diff.count == 1 ? "" : "s");
	used = n > 0 ? (size_t)n : 0;
	for (size_t i = 0; i < diff.count && used < size; i++) {
		if (!waits_for_restart(p, &diff.changes[i]))
			continue;
		n = snprintf(text + used, size - used, "; %s needs a restart",
			diff.changes[i].path);
		used += n > 0 ? (size_t)n : 0;
	}
	SLOG(INFO, "reload", "result=\"%s\"", text);
	if (used + MORE_MAX < size)
		list_changes(p, &diff, text + used, size - used);
	reload_finish(&diff);
}

/* What SET may not do: it would be forgotten before it took effect. */
static bool needs_restart(const struct program *p, const struct config *after)
{
	struct reload_diff diff;
	bool needs = false;

	if (reload_compare(p->config, after, &diff) < 0)
		return true;
	for (size_t i = 0; i < diff.count; i++)
		needs = needs || waits_for_restart(p, &diff.changes[i]);
	reload_finish(&diff);
	return needs;
}

/* Clients look at what has changed when they are idle; those that are idle now
 * are told. */
static void deliver_recheck(struct mail *mail, struct worker *w)
{
	free(mail);
	worker_recheck(w);
}

void program_tell_workers(struct program *p)
{
	for (uint32_t i = 0; i < p->thread_count; i++) {
		struct mail *mail = calloc(1, sizeof(*mail));

		if (mail == NULL)
			continue;
		mail->deliver = deliver_recheck;
		worker_post(p->threads[i].worker, mail);
	}
}

void program_reopen_log(struct program *p)
{
	char text[DIAG_TEXT_MAX + DIAG_FILE_MAX];
	struct log_next log;
	struct diag diag;

	diag_clear(&diag);
	if (log_open(p->config, &log, &diag) < 0) {
		SLOG(ERROR, "reload-failed", "error=\"%s\"",
			diag_format(&diag, text, sizeof(text)));
		return;
	}
	log_commit(p->config, &log);
	SLOG(INFO, "reload", "result=\"the log is open again\"");
}

static int change(struct program *p, struct config *config, struct log_next *log,
	struct diag *diag)
{
	/* Who drains lets nobody in; the addresses may be another process's by now. */
	bool serves = atomic_load(&p->router.drain) == ROUTER_SERVES;
	struct directory_next *next = NULL;
	int ret = log_open(config, log, diag);

	if (ret < 0)
		return ret;
	ret = limits_apply(config, p->thread_count, diag);
	if (ret == 0)
		ret = directory_prepare(p->directory, config, &next, diag);
	if (ret == 0)
		ret = http_open(p->http, config, diag);
	if (ret == 0 && serves)
		ret = entrances_open(p, config, diag);
	/* Who begins to listen takes connections that were another listener's: after that nothing
	 * takes time, or fails. */
	if (ret == 0)
		ret = entrances_begin(p, config, diag);
	if (ret == 0)
		ret = directory_commit(p->directory, &next, diag);
	if (ret < 0) {
		directory_abandon(&next);
		entrances_abandon(p);
		http_abandon(p->http);
		log_abandon(log);
	}
	return ret;
}

static bool go_over(struct program *p, struct config *config, struct diag *diag, char *text,
	size_t size)
{
	struct config *old = p->config;
	struct log_next log;

	if (p->handover.phase != HANDOVER_NONE)
		diag_set(diag, NULL, 0, 0, "another process is taking over, or has");
	if (config == NULL || diag_is_set(diag) || change(p, config, &log, diag) < 0) {
		diag_format(diag, text, size);
		SLOG(ERROR, "reload-failed", "error=\"%s\"", text);
		config_unref(config);
		return false;
	}
	p->config = config;
	log_commit(config, &log);
	if (atomic_load(&p->router.drain) == ROUTER_SERVES)
		entrances_commit(p);
	http_commit(p->http, config);
	program_apply_log(p);
	log_changes(p, old, config, text, size);
	config_unref(old);
	program_tell_workers(p);
	return true;
}

bool program_reload(struct program *p, char *text, size_t size)
{
	struct diag diag;
	bool ok;

	diag_clear(&diag);
	text[0] = '\0';
	notify_reloading();
	ok = go_over(p, config_load(p->path, &diag), &diag, text, size);
	if (ok)
		overlay_finish(&p->overlay);
	/* Nobody has refused what it is not the time for. */
	if (p->handover.phase == HANDOVER_NONE)
		atomic_store(&p->router.is_reload_refused, !ok);
	if (ok)
		atomic_store(&p->router.reloaded_at_us, clock_wall_us());
	/* Also when it was refused: what was in force still is. */
	notify_reloaded(p);
	return ok;
}

/* The error is the asker's, and no fault of the file's: it is not for the log. */
static bool set_refused(struct overlay *overlay, struct config *config,
	const struct diag *diag, char *text, size_t size)
{
	(void)snprintf(text, size, "%s",
		diag_is_set(diag) ? diag->text : "out of memory");
	config_unref(config);
	overlay_finish(overlay);
	return false;
}

bool program_set(
	struct program *p, const char *name, const char *value, char *text, size_t size)
{
	struct overlay overlay;
	struct config *config = NULL;
	struct diag diag;

	diag_clear(&diag);
	text[0] = '\0';
	if (overlay_copy(&overlay, &p->overlay) < 0 ||
		overlay_set(&overlay, name, value, &diag) < 0 ||
		(config = config_load_with(p->path, &overlay, &diag)) == NULL)
		return set_refused(&overlay, NULL, &diag, text, size);
	if (needs_restart(p, config))
		diag_set(&diag, NULL, 0, 0, "%s, or something else that the file says otherwise by now, takes effect at a restart only",
			name);
	if (diag_is_set(&diag))
		return set_refused(&overlay, config, &diag, text, size);
	if (!go_over(p, config, &diag, text, size)) {
		overlay_finish(&overlay);
		return false;
	}
	overlay_finish(&p->overlay);
	p->overlay = overlay;
	return true;
}
