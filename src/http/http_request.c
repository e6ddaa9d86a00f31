/* SPDX-License-Identifier: ISC */
/*
 * One request: who asks, for what, and the answer.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "admin/json.h"
#include "admin/show.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/slog.h"
#include "http/exposition.h"
#include "http/health.h"
#include "http/http_priv.h"
#include "http/page.h"

static const char type_text[] = "text/plain; charset=utf-8";
static const char type_json[] = "application/json; charset=utf-8";

typedef enum MHD_Result answer_f(struct http *, struct http_visitor *);

/* --- answering -------------------------------------------------------------------- */

static void add_header(struct MHD_Response *response, const char *name, const char *value)
{
	/* Without memory the answer goes without it. */
	(void)MHD_add_response_header(response, name, value);
}

/* text: what malloc gave, or constant. */
static enum MHD_Result send_response(struct http *h, struct http_visitor *v, unsigned code,
	const char *type, struct MHD_Response *response)
{
	enum MHD_Result result;

	if (response == NULL)
		return MHD_NO;
	add_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	add_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	add_header(response, "X-Content-Type-Options", "nosniff");
	if (code == MHD_HTTP_METHOD_NOT_ALLOWED)
		add_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
	if (code == MHD_HTTP_UNAUTHORIZED)
		add_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE,
			h->values.basic != NULL ? "Basic realm=\"pgtandem\"" : "Bearer");
	if (v->is_body)
		add_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
	h->requests[code / 100 % METRICS_CODES]++;
	result = MHD_queue_response(v->connection, code, response);
	MHD_destroy_response(response);
	return result;
}

static enum MHD_Result send_constant(struct http *h, struct http_visitor *v, unsigned code,
	const char *type, const char *text)
{
	return send_response(h, v, code, type,
		MHD_create_response_from_buffer(strlen(text), (void *)(uintptr_t)text,
			MHD_RESPMEM_PERSISTENT));
}

static enum MHD_Result send_buf(struct http *h, struct http_visitor *v, unsigned code,
	const char *type, struct buf *text)
{
	enum MHD_Result result;

	if (buf_ok(text))
		result = send_response(h, v, code, type,
			MHD_create_response_from_buffer(buf_len(text), buf_data(text),
				MHD_RESPMEM_MUST_COPY));
	else
		result = send_constant(h, v, MHD_HTTP_INTERNAL_SERVER_ERROR, type_text,
			"out of memory\n");
	buf_finish(text);
	return result;
}

/* --- what only reads ---------------------------------------------------------------- */

static bool take_look(struct http *h, struct look *look)
{
	return look_take(look, h->router, clock_now_us()) == 0;
}

static const char *not_ready(struct http *h, const struct look *look)
{
	return look_not_ready(look, atomic_load(&h->router->drain),
		atomic_load(&h->has_started));
}

static enum MHD_Result answer_metrics(struct http *h, struct http_visitor *v)
{
	bool is_openmetrics = exposition_is_openmetrics(MHD_lookup_connection_value(
		v->connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_ACCEPT));
	struct metrics_process process = { .router = h->router,
		.io_backend = h->io_backend,
		.start_wall_us = h->start_wall_us };
	struct buf text;
	struct look *look = malloc(sizeof(*look));

	buf_init(&text, 0);
	if (look == NULL || !take_look(h, look)) {
		text.failed = true;
	} else {
		memcpy(process.requests, h->requests, sizeof(process.requests));
		process.is_ready = not_ready(h, look) == NULL;
		if (!metrics_write(&text, is_openmetrics, look, h->router->directory,
			    &process))
			text.failed = true;
		look_finish(look);
	}
	free(look);
	return send_buf(h, v, MHD_HTTP_OK, exposition_content_type(is_openmetrics), &text);
}

static enum MHD_Result answer_health(struct http *h, struct http_visitor *v)
{
	struct look *look = malloc(sizeof(*look));
	struct buf text;

	buf_init(&text, 0);
	if (look == NULL || !take_look(h, look)) {
		text.failed = true;
	} else {
		health_write(&text, look);
		look_finish(look);
	}
	free(look);
	return send_buf(h, v, MHD_HTTP_OK, type_json, &text);
}

static enum MHD_Result answer_ready(struct http *h, struct http_visitor *v)
{
	struct look *look = malloc(sizeof(*look));
	const char *why = "out of memory";
	struct buf text;

	if (look != NULL && take_look(h, look)) {
		why = not_ready(h, look);
		look_finish(look);
	}
	free(look);
	buf_init(&text, 0);
	buf_addf(&text, "%s\n", why == NULL ? "ready" : why);
	return send_buf(h, v, why == NULL ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE,
		type_text, &text);
}

static enum MHD_Result answer_page(struct http *h, struct http_visitor *v)
{
	struct MHD_Response *response = MHD_create_response_from_buffer(strlen(page_html),
		(void *)(uintptr_t)page_html, MHD_RESPMEM_PERSISTENT);

	if (response != NULL)
		add_header(response, "Content-Security-Policy",
			"default-src 'none'; script-src 'self'; style-src 'self'; "
			"connect-src 'self'; base-uri 'none'; form-action 'none'; "
			"frame-ancestors 'none'");
	return send_response(h, v, MHD_HTTP_OK, "text/html; charset=utf-8", response);
}

static enum MHD_Result answer_script(struct http *h, struct http_visitor *v)
{
	return send_constant(h, v, MHD_HTTP_OK, "text/javascript; charset=utf-8",
		page_script);
}

static enum MHD_Result answer_style(struct http *h, struct http_visitor *v)
{
	return send_constant(h, v, MHD_HTTP_OK, "text/css; charset=utf-8", page_style);
}

/* --- what the workers are asked for --------------------------------------------------- */

/* On a worker: the thread goes on with it. */
static void on_arrived(struct ask *ask)
{
	struct http *h = ask->owner;
	uint64_t one = 1;

	pthread_mutex_lock(&h->lock);
	list_push_back(&h->arrived, &ask->mail.node);
	pthread_mutex_unlock(&h->lock);
	/* Full means that it is awake anyway. */
	if (write(h->wake_fd, &one, sizeof(one)) < 0)
		return;
}

static enum MHD_Result begin_ask(struct http *h, struct http_visitor *v)
{
	v->ask = ask_create_apart(h->console, on_arrived, h);
	v->asked_at_us = clock_now_us();
	return v->ask == NULL ? MHD_NO : MHD_YES;
}

static enum MHD_Result no_memory(struct http *h, struct http_visitor *v)
{
	return send_constant(h, v, MHD_HTTP_INTERNAL_SERVER_ERROR, type_text,
		"out of memory\n");
}

static enum MHD_Result wait_for_ask(struct http_visitor *v)
{
	v->is_waiting = true;
	v->door->waiting++;
	MHD_suspend_connection(v->connection);
	return MHD_YES;
}

static enum MHD_Result send_view(struct http *h, struct http_visitor *v)
{
	struct ask *ask = v->ask;
	struct buf text;
	bool ok;

	buf_init(&text, 0);
	ok = buf_ok(&ask->out) &&
		json_from_answer(buf_data(&ask->out), buf_len(&ask->out), &text);
	if (!buf_ok(&ask->out))
		text.failed = true;
	buf_add_u8(&text, '\n');
	ask_destroy(ask);
	v->ask = NULL;
	return send_buf(h, v, ok ? MHD_HTTP_OK : MHD_HTTP_INTERNAL_SERVER_ERROR,
		ok ? type_json : type_text, &text);
}

static const struct view *find_view(const char *word)
{
	for (size_t i = 0; i < show_view_count; i++) {
		/* What it has to say are no rows. */
		if (strcasecmp(show_views[i].word, word) == 0 &&
			(show_views[i].rights & ROUTE_STATS) != 0 &&
			show_views[i].handler != show_help)
			return &show_views[i];
	}
	return NULL;
}

static enum MHD_Result answer_view(struct http *h, struct http_visitor *v,
	const struct view *view)
{
	if (begin_ask(h, v) == MHD_NO)
		return no_memory(h, v);
	return view->handler(v->ask) == ASK_LATER ? wait_for_ask(v) : send_view(h, v);
}

static enum MHD_Result answer_views(struct http *h, struct http_visitor *v)
{
	struct buf text;
	bool has_any = false;

	buf_init(&text, 0);
	buf_add_u8(&text, '[');
	for (size_t i = 0; i < show_view_count; i++) {
		const struct view *view = find_view(show_views[i].word);
		char path[64];

		if (view == NULL)
			continue;
		(void)snprintf(path, sizeof(path), "/api/%s", view->word);
		for (char *c = path; *c != '\0'; c++)
			*c = *c >= 'A' && *c <= 'Z' ? (char)(*c - 'A' + 'a') : *c;
		buf_add_str(&text, has_any ? "," : "");
		buf_add_str(&text, "{\"path\":");
		json_add_string(&text, path, strlen(path));
		buf_add_str(&text, ",\"help\":");
		json_add_string(&text, view->help, strlen(view->help));
		buf_add_u8(&text, '}');
		has_any = true;
	}
	buf_add_str(&text, "]\n");
	return send_buf(h, v, MHD_HTTP_OK, type_json, &text);
}

/* A letter goes through all workers: whoever hangs does not pass it on. */
static enum MHD_Result answer_live(struct http *h, struct http_visitor *v)
{
	if (begin_ask(h, v) == MHD_NO)
		return no_memory(h, v);
	v->is_live = true;
	(void)ask_tour(v->ask, NULL, NULL);
	return wait_for_ask(v);
}

/* --- what there is ---------------------------------------------------------------------- */

static const struct {
	const char *path;
	answer_f *answer;
	bool is_open;                   /* for everybody, who need not say who it is */
} paths[] = {
	{ "/livez", answer_live, true },
	{ "/readyz", answer_ready, true },
	{ "/metrics", answer_metrics, false },
	{ "/health/db", answer_health, false },
	{ "/api", answer_views, false },
	{ "/api/", answer_views, false },
	{ "/", answer_page, false },
	{ "/page.js", answer_script, false },
	{ "/page.css", answer_style, false },
};

/* Takes as long for a right one as for a wrong one of the same length. */
static bool is_same_secret(const char *given, const char *wanted)
{
	size_t len = strlen(wanted);

	return strlen(given) == len && CRYPTO_memcmp(given, wanted, len) == 0;
}

static const char *after_word(const char *text, const char *word)
{
	size_t len = strlen(word);

	if (strncasecmp(text, word, len) != 0 || text[len] != ' ')
		return NULL;
	return text + len + strspn(text + len, " ");
}

static bool is_allowed(const struct http *h, struct http_visitor *v)
{
	const char *given = MHD_lookup_connection_value(v->connection, MHD_HEADER_KIND,
		MHD_HTTP_HEADER_AUTHORIZATION);
	const char *secret;

	if (h->values.bearer == NULL && h->values.basic == NULL)
		return true;
	if (given == NULL)
		return false;
	secret = after_word(given, "Bearer");
	if (secret != NULL && h->values.bearer != NULL)
		return is_same_secret(secret, h->values.bearer);
	secret = after_word(given, "Basic");
	return secret != NULL && h->values.basic != NULL &&
		is_same_secret(secret, h->values.basic);
}

static enum MHD_Result not_allowed(struct http *h, struct http_visitor *v)
{
	char text[ADDR_TEXT_MAX];
	struct addr peer;

	if (!sock_peer(v->fd, &peer))
		peer = (struct addr){ .len = 0 };
	/* Who sends nothing asks how to. */
	if (MHD_lookup_connection_value(v->connection, MHD_HEADER_KIND,
		    MHD_HTTP_HEADER_AUTHORIZATION) != NULL)
		SLOG_LIMITED(WARN, "http-auth-failed", "addr=%s",
			addr_text(&peer, text, sizeof(text)));
	return send_constant(h, v, MHD_HTTP_UNAUTHORIZED, type_text, "not allowed\n");
}

/* On a loopback address nobody asks but this machine, and so do browsers on it: one that a page
 * from elsewhere has led here, by a name that leads here now (DNS rebinding), gives that name. */
static bool is_led_here(const struct http *h, struct http_visitor *v)
{
	const char *host = MHD_lookup_connection_value(v->connection, MHD_HEADER_KIND,
		MHD_HTTP_HEADER_HOST);

	return v->door->is_loopback && h->values.bearer == NULL && h->values.basic == NULL &&
		host != NULL && !http_values_know(&h->values, host);
}

static enum MHD_Result answer_path(struct http *h, struct http_visitor *v, const char *url)
{
	const struct view *view = NULL;
	size_t i = 0;

	while (i < COUNT_OF(paths) && strcmp(paths[i].path, url) != 0)
		i++;
	if (i < COUNT_OF(paths) && paths[i].is_open)
		return paths[i].answer(h, v);
	/* Nor is it told what there is. */
	if (is_led_here(h, v))
		return send_constant(h, v, MHD_HTTP_MISDIRECTED_REQUEST, type_text,
			"this name is not known here; http.host_names of pgtandem.yaml(5) has them\n");
	if (!is_allowed(h, v))
		return not_allowed(h, v);
	if (i < COUNT_OF(paths))
		return paths[i].answer(h, v);
	if (strncmp(url, "/api/", 5) == 0)
		view = find_view(url + 5);
	if (view == NULL)
		return send_constant(h, v, MHD_HTTP_NOT_FOUND, type_text,
			"not found; there are /metrics, /health/db, /livez, /readyz, "
			"/api and /\n");
	return answer_view(h, v, view);
}

/* What it has waited for is here, or did not come. */
static enum MHD_Result answer_waiting(struct http *h, struct http_visitor *v)
{
	if (v->is_late) {
		v->is_late = false;
		return send_constant(h, v, MHD_HTTP_SERVICE_UNAVAILABLE, type_text,
			"a worker does not answer\n");
	}
	if (v->is_live) {
		ask_destroy(v->ask);
		v->ask = NULL;
		return send_constant(h, v, MHD_HTTP_OK, type_text, "alive\n");
	}
	ask_finish(v->ask);
	return send_view(h, v);
}

static bool has_body(struct MHD_Connection *connection)
{
	const char *length = MHD_lookup_connection_value(connection, MHD_HEADER_KIND,
		MHD_HTTP_HEADER_CONTENT_LENGTH);

	return MHD_lookup_connection_value(connection, MHD_HEADER_KIND,
		       MHD_HTTP_HEADER_TRANSFER_ENCODING) != NULL ||
		(length != NULL && strcmp(length, "0") != 0);
}

/* Called when the head is there, again with the body if there is one, and again
 * after each wait. */
enum MHD_Result http_on_request(void *arg, struct MHD_Connection *connection,
	const char *url, const char *method, const char *version, const char *body,
	size_t *body_len, void **slot)
{
	struct http_visitor *v = http_visitor_of(connection);
	struct http *h = arg;
	bool is_get = strcmp(method, MHD_HTTP_METHOD_GET) == 0 ||
		strcmp(method, MHD_HTTP_METHOD_HEAD) == 0;

	(void)version;
	(void)body;
	if (v == NULL)
		return MHD_NO;
	if (*slot == NULL) {
		*slot = v;
		http_visitor_asks(v);
		v->is_body = has_body(connection);
		if (v->is_body)
			return send_constant(h, v,
				is_get ? MHD_HTTP_CONTENT_TOO_LARGE
				       : MHD_HTTP_METHOD_NOT_ALLOWED,
				type_text, "nothing is written here\n");
		return MHD_YES;
	}
	if (*body_len > 0) {
		*body_len = 0;
		return MHD_YES;
	}
	if (v->ask != NULL || v->is_late)
		return answer_waiting(h, v);
	if (!is_get)
		return send_constant(h, v, MHD_HTTP_METHOD_NOT_ALLOWED, type_text,
			"only GET and HEAD are known here\n");
	return answer_path(h, v, url);
}

void http_forget_request(struct http_visitor *v)
{
	/* Suspended connections end only after they have been resumed. */
	if (v->ask != NULL && !v->is_waiting)
		ask_destroy(v->ask);
	v->ask = NULL;
	v->is_late = false;
	v->is_live = false;
	v->is_body = false;
}
