/* A container job in the guest: what its parts share.
 *
 * Its interface to the host (container_vm.conf, container_vm.json, layers.wanted) is that of
 * harness/oci/vm.py and of the wrapper's <image_layers>.
 */
#ifndef BOINC_CONTAINER_H
#define BOINC_CONTAINER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define SLOT "/root/shared"
#define PERSISTENT "/persistent"
#define KEPT PERSISTENT "/layers"
#define JOB PERSISTENT "/job"
#define WORK "/run/container"
#define ROOTFS WORK "/rootfs"

#define MOST_LAYERS 127
#define MOST_OUTPUTS 256
#define MOST_GROUPS 1024

#define EXIT_MISSING_OUTPUT 195
#define EXIT_MEMORY 198
#define EXIT_REFUSED 206

/* What the job asks for. */
struct wishes {
    char *layers[MOST_LAYERS];      /* from the lowest on */
    size_t layer_count;
    char *outputs[MOST_OUTPUTS];
    size_t output_count;
    char *user;                     /* NAME or number, perhaps with :GROUP; empty: root */
    char *memory;                   /* bytes, or NULL */
};

/* Whom the container runs as. */
struct user {
    unsigned uid, gid;
    unsigned groups[MOST_GROUPS];   /* the first is gid */
    size_t group_count;
    char home[1024];
};

/* say.c: one line for whoever reads the task's stderr; `refuse` ends the job with EXIT_REFUSED. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
void refuse(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* wishes.c */
void read_wishes(struct wishes *wishes, const char *path);

/* user.c: by the image's own files, which may hold anything */
void find_user(struct user *user, const char *root, const char *wanted);
void link_mtab(const char *root);

/* layers.c */
/* Brings the job's layers that *kept* lacks from the folder *ready* of the host. */
void fetch_layers(const struct wishes *wishes, const char *kept);
/* Unlinks the layer of *kept* that was not used for longest and is not the job's; false if there is none. */
bool drop_oldest(const struct wishes *wishes, const char *kept);
void mount_layers(const struct wishes *wishes);
void unmount_layers(const struct wishes *wishes);

/* config.c */
void fill_in_config(const char *from, const char *to, const struct user *user);

/* run.c: crun to its end; the exit code that the job ends with */
int run_container(const struct wishes *wishes);
/* What came of it, by crun's exit code and its own complaint, if any. */
int outcome(int code, const char *problem);

/* files.c */
/* Removes a folder and all below it, however deep; true if nothing is left. */
bool remove_tree(const char *path);
bool write_text(const char *path, const char *text);

#endif
