/* What the files of the network and of its cards include (kcc.c). */
#define KBUILD_MODNAME "net"    /* some inline functions want one */
#include "kernel.h"

#include <linux/etherdevice.h>
#include <linux/netdevice.h>
#include <net/ip.h>
#include <net/net_namespace.h>
#include <net/route.h>
#include <net/sock.h>
#include <net/tcp.h>
#undef KBUILD_MODNAME
