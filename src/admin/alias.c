/* SPDX-License-Identifier: ISC */
#include "admin/alias.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"

struct alias_node {
	struct hash_node node;
	const struct config_database *database;
	const char *host;
	const char *dbname;
	uint64_t options;
};

static uint64_t hash_of(const char *host, const char *dbname)
{
	return hash_mix(
		hash_bytes(host, strlen(host)), hash_bytes(dbname, strlen(dbname)));
}

int alias_map_init(struct alias_map *map, const struct config *config)
{
	map->nodes = calloc(config->database_count + 1, sizeof(map->nodes[0]));
	if (map->nodes == NULL)
		return -ENOMEM;
	if (hash_table_init(&map->table, config->database_count) < 0) {
		free(map->nodes);
		return -ENOMEM;
	}
	for (size_t i = 0; i < config->database_count; i++) {
		const struct config_database *db = &config->databases[i];
		struct alias_node *node = &map->nodes[i];

		if (db == config->wildcard)
			continue;
		node->database = db;
		node->host = config->hosts[db->host].name;
		node->dbname = config_dbname(db, db->name);
		node->options =
			hash_bytes(db->options.options, strlen(db->options.options));
		hash_table_add(
			&map->table, &node->node, hash_of(node->host, node->dbname));
	}
	return 0;
}

void alias_map_finish(struct alias_map *map)
{
	hash_table_finish(&map->table);
	free(map->nodes);
}

static bool leads_to(const struct alias_node *node, const char *host,
	const struct snap_names *names)
{
	const char *user = node->database->options.user;

	return strcmp(node->host, host) == 0 &&
		strcmp(node->dbname, names->database) == 0 &&
		node->options == names->options &&
		(user[0] == '\0' || strcmp(user, names->user) == 0);
}

static bool is_better(const struct alias_node *node, const struct alias_node *than)
{
	if (than == NULL || strcmp(node->database->name, node->dbname) == 0)
		return true;
	return node < than && strcmp(than->database->name, than->dbname) != 0;
}

const char *alias_find(const struct alias_map *map, const char *host,
	const struct snap_names *names)
{
	const struct alias_node *best = NULL;

	for (struct hash_node *each = hash_table_find(&map->table,
		hash_of(host, names->database)); each != NULL; each = hash_next(each)) {
		const struct alias_node *node =
			container_of(each, struct alias_node, node);

		if (leads_to(node, host, names) && is_better(node, best))
			best = node;
	}
	return best == NULL ? names->database : best->database->name;
}
