/* SPDX-License-Identifier: ISC */
#include "net/pam.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef HAVE_LIBPAM
#include <security/pam_appl.h>

static void answers_free(struct pam_response *answers, int count)
{
	for (int i = 0; i < count; i++) {
		if (answers[i].resp != NULL)
			explicit_bzero(answers[i].resp, strlen(answers[i].resp));
		free(answers[i].resp);
	}
	free(answers);
}

/* The password, to whatever is asked for without being shown.  A module that asks for
 * more than that cannot be served. */
static int talk(int count, const struct pam_message **asked, struct pam_response **out,
	void *arg)
{
	const char *password = arg;
	struct pam_response *answers;
	bool ok = true;

	if (count <= 0 || count > PAM_MAX_NUM_MSG)
		return PAM_CONV_ERR;
	answers = calloc((size_t)count, sizeof(*answers));
	if (answers == NULL)
		return PAM_BUF_ERR;
	for (int i = 0; ok && i < count; i++) {
		int style = asked[i]->msg_style;

		if (style == PAM_PROMPT_ECHO_OFF)
			ok = (answers[i].resp = strdup(password)) != NULL;
		else
			ok = style == PAM_ERROR_MSG || style == PAM_TEXT_INFO;
	}
	if (!ok) {
		answers_free(answers, count);
		return PAM_CONV_ERR;
	}
	*out = answers;
	return PAM_SUCCESS;
}

/* Instead of sleeping. */
static void no_pause(int status, unsigned int usec, void *arg)
{
	(void)status;
	(void)usec;
	(void)arg;
}

static int set_items(pam_handle_t *pam, const char *host)
{
	void (*pause)(int, unsigned int, void *) = no_pause;
	const void *item;
	int ret = pam_set_item(pam, PAM_RHOST, host);

	/* A pointer to a function, as libpam wants it. */
	memcpy(&item, &pause, sizeof(item));
	return ret == PAM_SUCCESS ? pam_set_item(pam, PAM_FAIL_DELAY, item) : ret;
}

static bool says_no(int status)
{
	switch (status) {
	case PAM_AUTH_ERR:
	case PAM_USER_UNKNOWN:
	case PAM_MAXTRIES:
	case PAM_PERM_DENIED:
	case PAM_ACCT_EXPIRED:
	case PAM_NEW_AUTHTOK_REQD:
	case PAM_CRED_INSUFFICIENT:
		return true;
	default:
		return false;
	}
}

enum pam_verdict pam_verify(const char *service, const char *user, const char *password,
	const char *host, char why[PAM_WHY_MAX])
{
	struct pam_conv conversation = { .conv = talk };
	pam_handle_t *pam = NULL;
	const char *step = "pam_start";
	int status;

	why[0] = '\0';
	/* libpam and talk() do not write to it. */
	memcpy(&conversation.appdata_ptr, &password, sizeof(password));
	status = pam_start(service, user, &conversation, &pam);
	if (status == PAM_SUCCESS)
		status = set_items(pam, host);
	if (status == PAM_SUCCESS) {
		step = "pam_authenticate";
		status = pam_authenticate(pam, PAM_SILENT | PAM_DISALLOW_NULL_AUTHTOK);
	}
	if (status == PAM_SUCCESS) {
		step = "pam_acct_mgmt";
		status = pam_acct_mgmt(pam, PAM_SILENT);
	}
	if (status != PAM_SUCCESS)
		(void)snprintf(why, PAM_WHY_MAX, "%s: %s", step,
			pam == NULL ? "no handle" : pam_strerror(pam, status));
	if (pam != NULL)
		(void)pam_end(pam, status);
	if (status == PAM_SUCCESS)
		return PAM_IS_RIGHT;
	return says_no(status) ? PAM_IS_WRONG : PAM_CANNOT_TELL;
}

bool pam_is_there(void)
{
	return true;
}

#else

enum pam_verdict pam_verify(const char *service, const char *user, const char *password,
	const char *host, char why[PAM_WHY_MAX])
{
	(void)service;
	(void)user;
	(void)password;
	(void)host;
	(void)snprintf(why, PAM_WHY_MAX, "%s", "this build has no PAM");
	return PAM_CANNOT_TELL;
}

bool pam_is_there(void)
{
	return false;
}

#endif
