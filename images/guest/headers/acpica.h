/* What the files of ACPI's interpreter include (kcc.c): 156 of them, short ones. */
#include <linux/kconfig.h>
#include <linux/compiler_types.h>

#include <acpi/acpi.h>

#include "accommon.h"
#include "acdispat.h"
#include "acevents.h"
#include "acinterp.h"
#include "acnamesp.h"
#include "acparser.h"
#include "acresrc.h"
#include "actables.h"
#include "amlcode.h"
