/* ZooKeeper's C client: `ok` and what held on a line for each check, `done` at the end.
 *
 *     client operations HOSTS
 *     client reconnect HOSTS      says `armed`, then waits for its caller to end the server it is on
 */

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <zookeeper/zookeeper.h>

#define SECONDS 30

/* What watches and completions saw, a line each. */
static char seen[200][400];
static int seen_count = 0;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

static void check(const char *what, int holds) {
    if (!holds) {
        printf("FAILED %s\n", what);
        pthread_mutex_lock(&lock);
        for (int i = 0; i < seen_count; i++) printf("  seen: %s\n", seen[i]);
        exit(1);
    }
    printf("ok C client: %s\n", what);
    fflush(stdout);
}

static void equal(const char *what, long found, long expected) {
    if (found != expected) printf("%s: found %ld, expected %ld\n", what, found, expected);
    check(what, found == expected);
}

static void same(const char *what, const char *found, const char *expected) {
    if (strcmp(found, expected) != 0) printf("%s: found %s, expected %s\n", what, found, expected);
    check(what, strcmp(found, expected) == 0);
}

static void saw(const char *form, ...) {
    va_list arguments;
    pthread_mutex_lock(&lock);
    if (seen_count < 200) {
        va_start(arguments, form);
        vsnprintf(seen[seen_count++], sizeof seen[0], form, arguments);
        va_end(arguments);
    }
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

/* Waits for a line and forgets it; was it seen in time? */
static int came(const char *line) {
    struct timespec deadline;
    int found = 0, late = 0;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += SECONDS;
    pthread_mutex_lock(&lock);
    while (!found && !late) {
        for (int i = 0; i < seen_count && !found; i++) {
            if (strcmp(seen[i], line) != 0) continue;
            memmove(&seen[i], &seen[i + 1], (size_t)(--seen_count - i) * sizeof seen[0]);
            found = 1;
        }
        if (!found) late = pthread_cond_timedwait(&changed, &lock, &deadline);
    }
    pthread_mutex_unlock(&lock);
    return found;
}

static int nothing_seen(void) {
    pthread_mutex_lock(&lock);
    int count = seen_count;
    pthread_mutex_unlock(&lock);
    return count == 0;
}

static const char *kind(int type) {
    if (type == ZOO_CREATED_EVENT) return "created";
    if (type == ZOO_DELETED_EVENT) return "deleted";
    if (type == ZOO_CHANGED_EVENT) return "changed";
    if (type == ZOO_CHILD_EVENT) return "children";
    return "other";
}

static void watcher(zhandle_t *zh, int type, int state, const char *path, void *context) {
    (void)zh;
    if (type != ZOO_SESSION_EVENT) {
        saw("%s%s %s", (const char *)context, kind(type), path);
    } else if (state == ZOO_CONNECTED_STATE) {
        saw("connected");
    } else if (state == ZOO_EXPIRED_SESSION_STATE) {
        saw("expired");
    } else if (state == ZOO_AUTH_FAILED_STATE) {
        saw("auth failed");
    }
}

static zhandle_t *open_session(const char *hosts, const clientid_t *id) {
    zhandle_t *zh = zookeeper_init(hosts, watcher, 6000, id, "", 0);
    check("connects", zh != NULL && came("connected"));
    return zh;
}

/* Completions of the asynchronous calls; what they are about is their data. */
static void said_string(int code, const char *value, const void *about) {
    saw("%s %d %s", (const char *)about, code, value == NULL ? "" : value);
}

static void said_data(int code, const char *value, int length, const struct Stat *stat, const void *about) {
    saw("%s %d %.*s %d", (const char *)about, code, length, value, stat == NULL ? -1 : stat->version);
}

static void said_stat(int code, const struct Stat *stat, const void *about) {
    saw("%s %d %d", (const char *)about, code, stat == NULL ? -1 : stat->version);
}

static void said_strings(int code, const struct String_vector *strings, const void *about) {
    saw("%s %d %d", (const char *)about, code, strings == NULL ? -1 : strings->count);
}

static void said_void(int code, const void *about) {
    saw("%s %d", (const char *)about, code);
}

static void data(zhandle_t *zh) {
    struct Stat stat;
    char path[100], value[100];
    int length = sizeof value;
    equal("create", zoo_create(zh, "/c", "one", 3, &ZOO_OPEN_ACL_UNSAFE, 0, path, sizeof path), ZOK);
    same("its path", path, "/c");
    equal("a second one", zoo_create(zh, "/c", "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0), ZNODEEXISTS);
    equal("without a parent", zoo_create(zh, "/no/c", "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0), ZNONODE);
    equal("get", zoo_get(zh, "/c", 0, value, &length, &stat), ZOK);
    check("its data", length == 3 && memcmp(value, "one", 3) == 0 && stat.dataLength == 3);
    equal("null data", zoo_create(zh, "/c/null", NULL, -1, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0), ZOK);
    length = sizeof value;
    equal("get of null", zoo_get(zh, "/c/null", 0, value, &length, NULL), ZOK);
    equal("is null", length, -1);
    equal("set", zoo_set2(zh, "/c", "second", 6, 0, &stat), ZOK);
    equal("its version", stat.version, 1);
    equal("with an old version", zoo_set(zh, "/c", "x", 1, 0), ZBADVERSION);
    equal("exists", zoo_exists(zh, "/c", 0, &stat), ZOK);
    check("its stat", stat.version == 1 && stat.numChildren == 1 && stat.mzxid > stat.czxid);
    equal("exists of nothing", zoo_exists(zh, "/no", 0, NULL), ZNONODE);
    equal("a bad path", zoo_exists(zh, "no", 0, NULL), ZBADARGUMENTS);

    equal("create2", zoo_create2(zh, "/c/stat", "12", 2, &ZOO_OPEN_ACL_UNSAFE, 0, path, sizeof path, &stat), ZOK);
    check("its stat at once", stat.dataLength == 2 && stat.czxid == stat.mzxid);
    equal("sequential", zoo_create(zh, "/c/s-", "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_SEQUENCE, path, sizeof path), ZOK);
    same("its number", path, "/c/s-0000000002");
    equal("ephemeral", zoo_create(zh, "/c/e", "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_EPHEMERAL, NULL, 0), ZOK);
    zoo_exists(zh, "/c/e", 0, &stat);
    equal("its owner", stat.ephemeralOwner, zoo_client_id(zh)->client_id);
    equal("no child below it", zoo_create(zh, "/c/e/x", "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0),
          ZNOCHILDRENFOREPHEMERALS);
    equal("both", zoo_create(zh, "/c/es-", "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_EPHEMERAL_SEQUENTIAL, path, sizeof path),
          ZOK);
    same("its number", path, "/c/es-0000000004");
    equal("a container", zoo_create2(zh, "/c/c", "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_CONTAINER, NULL, 0, &stat), ZOK);
    equal("a TTL node", zoo_create_ttl(zh, "/c/t", "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_PERSISTENT_WITH_TTL, 60000, NULL, 0),
          ZOK);

    struct String_vector names;
    equal("children", zoo_get_children(zh, "/c", 0, &names), ZOK);
    equal("all of them", names.count, 7);
    deallocate_String_vector(&names);
    equal("children and stat", zoo_get_children2(zh, "/c", 0, &names, &stat), ZOK);
    equal("agree", names.count, stat.numChildren);
    deallocate_String_vector(&names);
    equal("delete of a parent", zoo_delete(zh, "/c", -1), ZNOTEMPTY);
    equal("delete with a wrong version", zoo_delete(zh, "/c/stat", 7), ZBADVERSION);
    equal("delete", zoo_delete(zh, "/c/stat", 0), ZOK);
    length = sizeof value;
    equal("reconfig is off", zoo_reconfig(zh, NULL, "2", NULL, -1, value, &length, &stat), ZRECONFIGDISABLED);
    length = sizeof value;
    equal("config", zoo_getconfig(zh, 0, value, &length, &stat), ZOK);
}

static void multi(zhandle_t *zh) {
    char path[100];
    struct Stat stat;
    zoo_op_t ops[5];
    zoo_op_result_t results[5];
    zoo_create_op_init(&ops[0], "/c/m-", "1", 1, &ZOO_OPEN_ACL_UNSAFE, ZOO_SEQUENCE, path, sizeof path);
    zoo_create_op_init(&ops[1], "/c/n", "2", 1, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0);
    zoo_set_op_init(&ops[2], "/c/n", "3", 1, 0, &stat);
    zoo_check_op_init(&ops[3], "/c/n", 1);
    zoo_delete_op_init(&ops[4], "/c/n", 1);
    equal("multi", zoo_multi(zh, 5, ops, results), ZOK);
    check("its created path", strncmp(path, "/c/m-0000", 9) == 0);
    equal("its stat", stat.version, 1);
    zoo_delete_op_init(&ops[1], "/c/null", -1);
    zoo_check_op_init(&ops[2], "/c", 77);
    zoo_delete_op_init(&ops[3], path, -1);
    equal("a failing multi", zoo_multi(zh, 4, ops, results), ZBADVERSION);
    check("the error of each", results[0].err == ZOK && results[1].err == ZOK && results[2].err == ZBADVERSION
                                   && results[3].err == ZRUNTIMEINCONSISTENCY);
    equal("and nothing was done", zoo_exists(zh, "/c/null", 0, NULL), ZOK);
}

static void watches(zhandle_t *zh) {
    struct String_vector names;
    char value[10];
    int length = sizeof value;
    zoo_wexists(zh, "/c/w", watcher, "exists: ", NULL);
    zoo_create(zh, "/c/w", "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0);
    check("an exists watch", came("exists: created /c/w"));
    zoo_wget(zh, "/c/w", watcher, "get: ", value, &length, NULL);
    zoo_set(zh, "/c/w", "x", 1, -1);
    check("a data watch", came("get: changed /c/w"));
    zoo_wget_children(zh, "/c/w", watcher, "children: ", &names);
    deallocate_String_vector(&names);
    zoo_create(zh, "/c/w/x", "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0);
    check("a child watch", came("children: children /c/w"));
    zoo_set(zh, "/c/w", "y", 1, -1);
    check("each only once", nothing_seen());
    zoo_exists(zh, "/c/w", 1, NULL);
    zoo_delete(zh, "/c/w/x", -1);
    zoo_delete(zh, "/c/w", -1);
    check("the session's own watch", came("deleted /c/w"));
    zoo_wexists(zh, "/c/w", watcher, "removed: ", NULL);
    equal("a watch is removed", zoo_remove_watches(zh, "/c/w", ZWATCHTYPE_DATA, watcher, "removed: ", 0), ZOK);
    equal("there is none any more", zoo_remove_watches(zh, "/c/w", ZWATCHTYPE_DATA, watcher, "removed: ", 0), ZNOWATCHER);
}

static void acls(zhandle_t *zh, const char *hosts) {
    struct ACL_vector found;
    struct Stat stat;
    equal("add_auth", zoo_add_auth(zh, "digest", "me:secret", 9, said_void, "auth"), ZOK);
    check("is answered", came("auth 0"));
    equal("create for its creator", zoo_create(zh, "/c/mine", "x", 1, &ZOO_CREATOR_ALL_ACL, 0, NULL, 0), ZOK);
    equal("get_acl", zoo_get_acl(zh, "/c/mine", &found, &stat), ZOK);
    check("its owner", found.count == 1 && strcmp(found.data[0].id.scheme, "digest") == 0
                           && strcmp(found.data[0].id.id, "me:016djjlksVQS5RgX3M7biBGyYwY=") == 0
                           && found.data[0].perms == ZOO_PERM_ALL);
    deallocate_ACL_vector(&found);

    zhandle_t *stranger = open_session(hosts, NULL);
    equal("sync", zoo_async(stranger, "/c", said_string, "sync"), ZOK);
    check("is answered", came("sync 0 /c"));
    equal("a stranger may not ask for it", zoo_exists(stranger, "/c/mine", 0, NULL), ZNOAUTH);
    char value[10];
    int length = sizeof value;
    equal("nor read it", zoo_get(stranger, "/c/mine", 0, value, &length, NULL), ZNOAUTH);
    equal("nor write it", zoo_set(stranger, "/c/mine", "y", 1, -1), ZNOAUTH);
    equal("nor see who may", zoo_get_acl(stranger, "/c/mine", &found, &stat), ZNOAUTH);
    equal("set_acl", zoo_set_acl(zh, "/c/mine", 0, &ZOO_READ_ACL_UNSAFE), ZOK);
    equal("with an old version", zoo_set_acl(zh, "/c/mine", 0, &ZOO_READ_ACL_UNSAFE), ZNOAUTH);
    zoo_async(stranger, "/c", said_string, "sync");
    check("sync again", came("sync 0 /c"));
    equal("now the stranger may read", zoo_get(stranger, "/c/mine", 0, value, &length, NULL), ZOK);
    equal("close", zookeeper_close(stranger), ZOK);

    zhandle_t *unknown = open_session(hosts, NULL);
    zoo_add_auth(unknown, "nonsense", "x", 1, said_void, "auth");
    char refused[20];
    snprintf(refused, sizeof refused, "auth %d", ZAUTHFAILED);
    check("a scheme that is none", came(refused) && came("auth failed"));
    zookeeper_close(unknown);
}

static void asynchronous(zhandle_t *zh) {
    zoo_acreate(zh, "/c/a", "1", 1, &ZOO_OPEN_ACL_UNSAFE, 0, said_string, "create");
    zoo_aset(zh, "/c/a", "2", 1, 0, said_stat, "set");
    zoo_aget(zh, "/c/a", 0, said_data, "get");
    zoo_aexists(zh, "/c/a", 0, said_stat, "exists");
    zoo_aget_children(zh, "/c/a", 0, said_strings, "children");
    zoo_adelete(zh, "/c/a", 1, said_void, "delete");
    zoo_aget(zh, "/c/a", 0, said_data, "again");
    zoo_async(zh, "/c", said_string, "sync");
    check("the last of them", came("sync 0 /c"));
    check("create, async", came("create 0 /c/a"));
    check("set, async", came("set 0 1"));
    check("get, async", came("get 0 2 1"));
    check("exists, async", came("exists 0 1"));
    check("children, async", came("children 0 0"));
    check("delete, async", came("delete 0"));
    check("in their order", came("again -101  -1"));
    for (int i = 0; i < 100; i++) {
        zoo_acreate(zh, "/c/many-", "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_SEQUENCE, said_string, "one of many");
    }
    zoo_aget_children(zh, "/c", 0, said_strings, "many");
    char line[20];
    /* null, s-, e, es-, c, t, m-, mine */
    snprintf(line, sizeof line, "many 0 %d", 100 + 8);
    check("a hundred at once", came(line));
    pthread_mutex_lock(&lock);
    seen_count = 0;
    pthread_mutex_unlock(&lock);
}

static void operations(const char *hosts) {
    struct String_vector names;
    zhandle_t *zh = open_session(hosts, NULL);
    data(zh);
    multi(zh);
    watches(zh);
    acls(zh, hosts);
    asynchronous(zh);

    clientid_t id = *zoo_client_id(zh);
    id.passwd[0] ^= 1;
    zhandle_t *impostor = zookeeper_init(hosts, watcher, 6000, &id, "", 0);
    check("a wrong password opens no session", came("expired"));
    zookeeper_close(impostor);
    equal("close", zookeeper_close(zh), ZOK);

    char below[400];
    snprintf(below, sizeof below, "%s/c", hosts);
    zhandle_t *chroot = open_session(below, NULL);
    zoo_async(chroot, "/", said_string, "sync");
    check("sync under a chroot", came("sync 0 /"));
    equal("the session took its ephemeral along", zoo_exists(chroot, "/e", 0, NULL), ZNONODE);
    equal("children below the chroot", zoo_get_children(chroot, "/", 0, &names), ZOK);
    for (int i = 0; i < names.count; i++) {
        char path[200];
        snprintf(path, sizeof path, "/%s", names.data[i]);
        int code = zoo_delete(chroot, path, -1);
        if (code != ZOK) equal(path, code, ZOK);
    }
    deallocate_String_vector(&names);
    zookeeper_close(chroot);
    zhandle_t *last = open_session(hosts, NULL);
    equal("delete of what is left", zoo_delete(last, "/c", -1), ZOK);
    zookeeper_close(last);
}

/* Its server is ended under it: the session, its ephemeral and its watches go on elsewhere. */
static void reconnect(const char *hosts) {
    struct Stat stat;
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    zhandle_t *zh = open_session(hosts, NULL);
    zoo_create(zh, "/c", "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0);
    equal("an ephemeral", zoo_create(zh, "/c/e", "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_EPHEMERAL, NULL, 0), ZOK);
    zoo_wexists(zh, "/c/later", watcher, "", NULL);
    long session = zoo_client_id(zh)->client_id;
    check("its server is known", zookeeper_get_connected_host(zh, (struct sockaddr *)&address, &length) != NULL);
    printf("server %d\narmed\n", ntohs(address.sin_port));
    fflush(stdout);
    check("connected again", came("connected"));
    equal("in the same session", zoo_client_id(zh)->client_id, session);
    equal("with its ephemeral", zoo_exists(zh, "/c/e", 0, &stat), ZOK);
    equal("of that session", stat.ephemeralOwner, session);
    equal("a write", zoo_create(zh, "/c/later", "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0), ZOK);
    check("the watch was set again", came("created /c/later"));
    zookeeper_close(zh);
}

int main(int count, char **arguments) {
    if (count != 3) return 2;
    zoo_set_debug_level(0);
    if (strcmp(arguments[1], "operations") == 0) {
        operations(arguments[2]);
    } else {
        reconnect(arguments[2]);
    }
    printf("done\n");
    return 0;
}
