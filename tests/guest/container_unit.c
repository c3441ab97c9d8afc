/* What of images/guest/container can be looked at without a guest: a command line for test_container_job.py. */
#include "container.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int usage(void)
{
    fprintf(stderr, "container_unit: user ROOT WANTED | wishes FILE | config FROM TO ROOT WANTED | remove FOLDER | oldest CONF KEPT | "
                    "outcome CODE PROBLEM | mtab ROOT\n");
    return 2;
}

int main(int count, char **words)
{
    static struct user user;
    static struct wishes wishes;
    const char *command = count > 2 ? words[1] : "";

    if (!strcmp(command, "user") && count == 4) {
        find_user(&user, words[2], words[3]);
        printf("%u:%u:", user.uid, user.gid);
        for (size_t i = 0; i < user.group_count; i++)
            printf("%s%u", i ? "," : "", user.groups[i]);
        printf(":%s\n", user.home);
    } else if (!strcmp(command, "wishes") && count == 3) {
        read_wishes(&wishes, words[2]);
        for (size_t i = 0; i < wishes.layer_count; i++)
            printf("layer=%s\n", wishes.layers[i]);
        for (size_t i = 0; i < wishes.output_count; i++)
            printf("output=%s\n", wishes.outputs[i]);
        printf("user=%s\nmemory=%s\n", wishes.user, wishes.memory ? wishes.memory : "any");
    } else if (!strcmp(command, "config") && count == 6) {
        find_user(&user, words[4], words[5]);
        fill_in_config(words[2], words[3], &user);
    } else if (!strcmp(command, "remove") && count == 3)
        return !remove_tree(words[2]);
    else if (!strcmp(command, "oldest") && count == 4) {
        read_wishes(&wishes, words[2]);
        return !drop_oldest(&wishes, words[3]);
    } else if (!strcmp(command, "outcome") && count == 4)
        return outcome(atoi(words[2]), words[3]);
    else if (!strcmp(command, "mtab") && count == 3)
        link_mtab(words[2]);
    else
        return usage();
    return 0;
}
