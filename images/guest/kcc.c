/* Stands in for gcc in the kernel's build: the headers that most files begin with are parsed once, not twelve hundred times.
 *
 *   KCC=FOLDER kcc WORDS FOR GCC
 *
 * FOLDER holds NAME.h, which is empty, and NAME.h.gch, which is what headers/NAME.h comes to. gcc takes the latter where it means
 * the same as the text would (same options, nothing defined that the text asks for), and else the former without a word: then
 * the file is compiled as ever. What kbuild defines anew for each file (KBUILD_MODNAME and the like) would be such a
 * difference; it is read after the header. A file that defines something before it includes anything (but how its messages begin) gets
 * no such header, and what does not compile with it is compiled without.
 *
 * Kbuild asks for a list of the headers that were read, to know what to build another time. There is no other time, and looking
 * through them all takes long: it is told of none.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const headers[][2] = { /* where a file is, which header it gets */
    {"drivers/acpi/acpica/", "acpica"},
    {"drivers/net/", "net"},
    {"net/", "net"},
    {"", "kernel"},
};

static int starts(const char *text, const char *with)
{
    return !strncmp(text, with, strlen(with));
}

static const char *header_of(const char *source)
{
    int row = 0;

    while (!starts(source, headers[row][0]))
        row++;
    return headers[row][1];
}

static void fail(const char *what)
{
    perror(what);
    _exit(127);
}

static void compile(char **words)
{
    words[0] = "gcc";
    execvp(words[0], words);
    fail(words[0]);
}

static void write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text) || close(fd))
        fail(path);
}

/* Whether a file defines something before it includes anything. EXPORT_ACPI_INTERFACES matters to modules only. */
static int sets_terms(const char *source)
{
    static const char *const harmless[] = {"#define pr_fmt", "#define EXPORT_ACPI_INTERFACES"};
    FILE *file = fopen(source, "r");
    char line[1024];
    int found = 0;

    while (file && !found && fgets(line, sizeof line, file) && !starts(line, "#include"))
        found = (starts(line, "#define") || starts(line, "#undef")) && !starts(line, harmless[0]) && !starts(line, harmless[1]);
    if (file)
        fclose(file);
    return !file || found;
}

int main(int count, char **words)
{
    static char header[4096], names[4096], text[8192], defines[4096];
    const char *folder = getenv("KCC"), *source = words[count - 1], *object = NULL, *needs = NULL;
    char **changed = calloc((size_t)count + 5, sizeof *changed), **next = changed + 5;
    size_t length = 0;
    int ends_in_c = strlen(source) > 2 && !strcmp(source + strlen(source) - 2, ".c"), status;
    pid_t child;

    for (int i = 1; i < count; i++) {
        char *value = strchr(words[i], '=');

        if (value && (starts(words[i], "-DKBUILD_") || starts(words[i], "-D__KBUILD_")))
            length += (size_t)snprintf(defines + length, sizeof defines - length, "#define %.*s %s\n", (int)(value - words[i] - 2),
                                       words[i] + 2, value + 1);
        else if (starts(words[i], "-Wp,-MMD,"))
            needs = words[i] + strlen("-Wp,-MMD,");
        else
            *next++ = words[i];
        if (!strcmp(words[i], "-c") && i + 2 < count && !strcmp(words[i + 1], "-o"))
            object = words[i + 2];
        if (length >= sizeof defines)
            compile(words);
    }
    if (!folder || !object || !needs || !length || !ends_in_c || sets_terms(source))
        compile(words);

    snprintf(header, sizeof header, "%s/%s.h", folder, header_of(source));
    snprintf(names, sizeof names, "%s.names.h", object);
    write_text(names, defines);
    changed[1] = changed[3] = "-include";
    changed[2] = header;
    changed[4] = names;
    child = fork();
    if (!child) {
        /* It warns of what a file defines anew; what is wrong with the file itself is told when it is compiled without. */
        if (!freopen("/dev/null", "w", stderr))
            fail("/dev/null");
        compile(changed);
    }
    if (child < 0 || waitpid(child, &status, 0) < 0 || status)
        compile(words);
    snprintf(text, sizeof text, "%s: %s\n", object, source);
    write_text(needs, text);
    return 0;
}
