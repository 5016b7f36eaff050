#ifndef EGO_CPOSTGRESQL_SHIM_H
#define EGO_CPOSTGRESQL_SHIM_H

#include <libpq-fe.h>

#endif
