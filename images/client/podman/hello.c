/* What `podman run hello-world` runs here: the client looks for "Hello" in what it prints before it reports podman. */
#include <unistd.h>

int main(void) {
    static const char text[] = "Hello from a container of this host.\n";
    return write(1, text, sizeof text - 1) == (ssize_t)(sizeof text - 1) ? 0 : 1;
}
