/* container_vm.conf: KEY VALUE lines, made by harness/oci/vm.py. */
#include "container.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A file name, not a path out of its folder, and no name that the disk has for itself. */
static bool is_name(const char *value)
{
    return *value && *value != '.' && !strchr(value, '/') && strlen(value) < 256;
}

static void add(char **list, size_t *count, size_t most, const char *key, char *value)
{
    if (!is_name(value))
        refuse("container_vm.conf names a %s '%s', which is no file name", key, value);
    if (*count == most)
        refuse("container_vm.conf has more than %zu lines '%s'", most, key);
    list[(*count)++] = value;
}

void read_wishes(struct wishes *wishes, const char *path)
{
    FILE *file = fopen(path, "re");
    char *line = NULL;
    size_t size = 0;
    ssize_t length;

    if (!file)
        refuse("%s cannot be read: %s", path, strerror(errno));
    *wishes = (struct wishes){.user = ""};
    while ((length = getline(&line, &size, file)) > 0) {
        char *key = line, *value = line;

        if (line[length - 1] == '\n')
            line[length - 1] = '\0';
        strsep(&value, " ");
        if (!value)
            refuse("container_vm.conf has a line '%s' without a value", key);
        if (!strcmp(key, "layer"))
            add(wishes->layers, &wishes->layer_count, MOST_LAYERS, key, value);
        else if (!strcmp(key, "output"))
            add(wishes->outputs, &wishes->output_count, MOST_OUTPUTS, key, value);
        else if (!strcmp(key, "user"))
            wishes->user = value;
        else if (!strcmp(key, "memory"))
            wishes->memory = value;
        else
            refuse("container_vm.conf has a line '%s' that is not understood", key);
        line = NULL;        /* its words are the wishes' now */
        size = 0;
    }
    free(line);
    fclose(file);
    if (!wishes->layer_count)
        refuse("container_vm.conf names no layer");
}
