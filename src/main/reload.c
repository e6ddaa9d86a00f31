/* SPDX-License-Identifier: ISC */
/*
 * Going over to another configuration: read and check all of it, open what can
 * fail, then swap.  On any error nothing has changed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/slog.h"
#include "config/reload.h"
#include "main/program.h"
#include "session/gate.h"

void program_apply_log(struct program *p)
{
	const struct process_options *process = &p->config->process;
	const struct gate_limits gate = { .unproven = process->max_unauthenticated,
		.per_address = process->max_client_conn_per_address,
		.unproven_per_address = process->max_unauthenticated_per_address };

	slog_set_level(p->config->log.level);
	atomic_store(&p->router.log_connections, p->config->log.log_connections);
	atomic_store(&p->router.log_disconnections, p->config->log.log_disconnections);
	atomic_store(&p->router.max_client_conn, p->config->process.max_client_conn);
	gate_set_limits(p->router.gate, &gate);
	atomic_store(&p->router.statement_memory,
		p->config->process.max_statement_memory_bytes);
	for (size_t i = 0; i < p->config->warnings.count; i++)
		SLOG(WARN, "config-warning", "text=\"%s\"", p->config->warnings.items[i]);
}

static void log_changes(const struct config *before, const struct config *after,
	char *text, size_t size)
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
			c->after == NULL ? "" : c->after, option_effect_name(c->effect));
	}
	n = snprintf(text, size, "%zu settings changed", diff.count);
	used = n > 0 ? (size_t)n : 0;
	for (size_t i = 0; i < diff.count && used < size; i++) {
		if (diff.changes[i].effect != OPTION_RESTART)
			continue;
		n = snprintf(text + used, size - used, "; %s needs a restart",
			diff.changes[i].path);
		used += n > 0 ? (size_t)n : 0;
	}
	reload_finish(&diff);
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

static int change(struct program *p, struct config *config, struct diag *diag)
{
	int ret = limits_apply(config, p->thread_count, diag);

	/* Who drains lets nobody in; the addresses may be another process's by now. */
	if (ret == 0 && atomic_load(&p->router.drain) == ROUTER_SERVES)
		ret = entrances_open(p, config, diag);
	if (ret == 0)
		ret = http_open(p->http, config, diag);
	if (ret == 0)
		ret = directory_reload(p->directory, config, diag);
	if (ret < 0) {
		entrances_abandon(p);
		http_abandon(p->http);
	}
	return ret;
}

bool program_reload(struct program *p, char *text, size_t size)
{
	struct config *config, *old = p->config;
	struct diag diag;

	diag_clear(&diag);
	text[0] = '\0';
	config = config_load(p->path, &diag);
	if (config == NULL || change(p, config, &diag) < 0) {
		diag_format(&diag, text, size);
		SLOG(ERROR, "reload-failed", "error=\"%s\"", text);
		config_unref(config);
		return false;
	}
	p->config = config;
	entrances_commit(p);
	http_commit(p->http, config);
	program_apply_log(p);
	log_changes(old, config, text, size);
	SLOG(INFO, "reload", "result=\"%s\"", text);
	config_unref(old);
	program_tell_workers(p);
	return true;
}
