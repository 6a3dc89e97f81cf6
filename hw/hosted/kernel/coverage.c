/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which basic blocks have run: the flavour `coverage` calls this from each. */
#include "shim.h"

/* Set by the process after each start of the image, if it wants to know. */
struct hosted_coverage hosted_coverage;

void __sanitizer_cov_trace_pc(void);
__attribute__((no_sanitize_coverage)) void __sanitizer_cov_trace_pc(void) {
  unsigned long at = (unsigned long)__builtin_return_address(0) - hosted_coverage.begin;
  if (at < hosted_coverage.bytes) hosted_coverage.hits[at] = 1;
}
