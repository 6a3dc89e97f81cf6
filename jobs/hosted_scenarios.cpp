// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/hosted_scenarios.h"

#include <array>

namespace lockstep::jobs {
namespace {

constexpr std::string_view sound =
    "no warning, no use after free, nothing left behind; locks and readers are kept";

// Slot 0 holds the guest's tables, slot 1 what is fought for, in small pages: its log is on.
constexpr std::string_view tdp_log =
    "title  log\n"
    "config paging=4-level mmu=tdp vcpus=3 memory=0x400000\n"
    "slot 0 add gpa=0x0 size=0x200000\n"
    "slot 1 add gpa=0x200000 size=0x200000 hva=0x200000 log\n"
    "map 0x400000 gpa=0x200000 rwxu a d\n"
    "map 0x401000 gpa=0x201000 rwxu a d\n"
    "map 0x402000 gpa=0x202000 rwxu a d\n"
    "map 0x403000 gpa=0x203000 rwxu a d\n"
    "v0 cpl3 write 0x400000 = 0x1\n"
    "v1 cpl3 read 0x401000\n";

constexpr std::array tdp_log_commands = {
    HostedCommand{{"write", 4}, "v{v} cpl3 write 0x40{n}000 = 0x5"},
    HostedCommand{{"read", 4}, "v{v} cpl3 read 0x40{n}000"},
    HostedCommand{{"dirty-get"}, "slot 1 dirty-get"},
    HostedCommand{{"log-off"}, "slot 1 flags none"},
    HostedCommand{{"log-on"}, "slot 1 flags log"},
    HostedCommand{{"delete"}, "slot 1 delete"},
    HostedCommand{{"add"}, "slot 1 add gpa=0x200000 size=0x200000 hva=0x200000 log"},
    HostedCommand{{"unmap", 4}, "host migrate hva=0x20{n}000 size=0x1000"},
    HostedCommand{{"grace"}, "grace"},
};

constexpr std::array<HostedScenario, 1> all = {{
    {.name = "tdp-log",
     .title = "faults, the dirty log, slots and unmaps under two-dimensional paging",
     .property = sound,
     .program = tdp_log,
     .commands = tdp_log_commands},
}};

}  // namespace

std::span<const HostedScenario> hosted_scenarios() { return all; }

}  // namespace lockstep::jobs
