/* SPDX-License-Identifier: ISC */
/*
 * What the files of the HTTP server share.
 */
#ifndef HTTP_HTTP_PRIV_H
#define HTTP_HTTP_PRIV_H

#include <microhttpd.h>
#include <pthread.h>

#include "admin/ask.h"
#include "http/http.h"
#include "http/metrics.h"
#include "net/listening.h"

/* How long the workers may take for a view: one that takes longer hangs. */
enum { HTTP_PATIENCE_US = 2000000, HTTP_HEAD_MAX = 16384 };

/* What the configuration says, as values. */
struct http_values {
	char *bearer;                   /* "Bearer <token>" without its first word; or NULL */
	char *basic;                    /* base64 of "user:password"; or NULL */
	char **host_names;              /* up to NULL; or NULL */
	uint32_t max_connections;
	uint64_t timeout_us;
};

/* A listening socket as the thread sees it. */
struct http_door {
	struct list_node node;
	struct http *http;
	struct MHD_Daemon *daemon;
	struct addr addr;
	int fd;
	bool is_loopback;
	bool keeps_name;                /* of a unix socket: it is not ours to remove */
	bool is_leaving;                /* lets nobody in any more */
	uint64_t until_us;              /* then who is in has had the time to ask; 0: no matter */
	uint32_t waiting;               /* visitors whose view is on its way */
};

/* A connection, and the request that it makes now. */
struct http_visitor {
	struct list_node node;
	struct http_door *door;
	struct MHD_Connection *connection;
	int fd;
	char host[ADDR_TEXT_MAX];       /* its address, without the port */
	uint64_t since_us;              /* has arrived, asked, or been answered then */
	uint64_t until_us;              /* longer than that it does not stay */
	bool has_asked;                 /* at least once, with a whole head */
	bool is_asking;                 /* from there to the end of the answer */
	bool is_leaving;                /* its socket was shut down, the end is near */
	struct ask *ask;                /* of the request; NULL: none */
	uint64_t asked_at_us;
	bool is_waiting;                /* for the ask, suspended */
	bool is_late;                   /* it has waited for too long, and was given up */
	bool is_live;                   /* only whether it arrives is asked */
	bool is_body;                   /* the request has one: no */
};

/* What main tells the thread. */
struct http_order {
	struct list_node node;
	struct http_values values;
	bool hands_over;                /* all doors are another process's now */
	size_t count;
	struct http_order_door {
		int fd;
		struct addr addr;
		bool is_wanted;         /* or it is to be closed */
		bool keeps_name;
	} doors[];
};

struct http {
	struct console *console;
	struct router *router;
	const char *io_backend;
	struct http_calls calls;
	uint64_t start_wall_us;
	_Atomic bool has_started;       /* main serves clients */
	_Atomic bool has_left;          /* another process listens, and this one does not */
	int wake_fd;
	pthread_t thread;
	bool has_thread;
	struct list entrances;          /* main's: struct listening */
	pthread_mutex_t lock;           /* of these three */
	struct list orders;
	struct list arrived;            /* struct ask, by its mail */
	bool is_over;
	/* The thread's. */
	struct http_values values;
	struct list doors;
	struct list visitors;
	uint32_t visitor_count;
	uint32_t leaving_count;         /* of these, who leaves */
	uint64_t requests[METRICS_CODES];
};

/* http_values.c.  False: no memory; to be finished all the same. */
NODISCARD bool http_values_init(struct http_values *, const struct config *);
void http_values_finish(struct http_values *);  /* secrets are wiped */
/* Is that, of a Host header, a name of this machine's, or an address? */
bool http_values_know(const struct http_values *, const char *host);

/* http_request.c: what MHD calls for each request. */
enum MHD_Result http_on_request(void *http, struct MHD_Connection *, const char *url,
	const char *method, const char *version, const char *body, size_t *body_len,
	void **visitor);
/* The request is over. */
void http_forget_request(struct http_visitor *);

/* http_visitor.c: what MHD calls for each connection, with the door as argument;
 * for the first line of a request; and for the end of its answer. */
enum MHD_Result http_visitor_on_accept(void *door, const struct sockaddr *, socklen_t);
void http_visitor_on_connection(void *door, struct MHD_Connection *, void **visitor,
	enum MHD_ConnectionNotificationCode);
void *http_visitor_on_line(void *, const char *uri, struct MHD_Connection *);
void http_visitor_on_completed(void *door, struct MHD_Connection *, void **visitor,
	enum MHD_RequestTerminationCode);
/* NULL: there was no memory for it. */
struct http_visitor *http_visitor_of(struct MHD_Connection *);
/* The head of its request is there. */
void http_visitor_asks(struct http_visitor *);
/* Several times a second: deadlines. */
void http_visitors_look(struct http *, uint64_t now_us);
/* Letters that have come back. */
void http_visitors_take_arrived(struct http *);

#endif
