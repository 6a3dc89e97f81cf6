// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/verbs.h"

int main(int argc, char** argv) { return lockstep::cli::run_command(argc, argv); }
