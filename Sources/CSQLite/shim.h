#ifndef EGO_CSQLITE_SHIM_H
#define EGO_CSQLITE_SHIM_H

#include <sqlite3.h>

#endif
