// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/hosted_scenarios.h"

#include <array>

namespace lockstep::jobs {
namespace {

constexpr std::string_view sound =
    "no warning, no use after free, nothing left behind; locks and readers are kept";

// Slot 0 holds the guest's tables, slot 1 what is fought for. A log makes its pages small and
// write-protects them, so that a write is a fast page fault, without mmu_lock; so is the look
// at an MMIO entry, behind every slot.
#define TABLES                                               \
  "slot 0 add gpa=0x0 size=0x200000\n"                       \
  "slot 1 add gpa=0x200000 size=0x200000 hva=0x200000 log\n" \
  "map 0x400000 gpa=0x200000 rwxu a d\n"                     \
  "map 0x401000 gpa=0x201000 rwxu a d\n"                     \
  "map 0x402000 gpa=0x202000 rwxu a d\n"                     \
  "map 0x403000 gpa=0x203000 rwxu a d\n"                     \
  "map 0x404000 gpa=0x30000000 rwxu a d\n"                   \
  "map 0x405000 gpa=0x12000 rwxu a d\n"                      \
  "entry pml4 0x2000[0] = 0x10000 rwxu a\n"                  \
  "v0 cpl3 write 0x400000 = 0x1\n"                           \
  "v0 cpl3 write 0x401000 = 0x1\n"                           \
  "v1 cpl3 read 0x404000\n"                                  \
  "v2 cpl3 read 0x402000\n"                                  \
  "slot 1 dirty-get\n"

#define CONFIG(name, settings, more) \
  "title  " name                     \
  "\n"                               \
  "config paging=4-level mmu=" settings " vcpus=3 memory=0x400000\n" more TABLES

constexpr std::array commands = {
    HostedCommand{{"write", 4}, "v{v} cpl3 write 0x40{n}000 = 0x5"},
    HostedCommand{{"read", 4}, "v{v} cpl3 read 0x40{n}000"},
    HostedCommand{{"mmio"}, "v{v} cpl3 read 0x404000"},
    HostedCommand{{"dirty-get"}, "slot 1 dirty-get"},
    HostedCommand{{"log-off"}, "slot 1 flags none"},
    HostedCommand{{"log-on"}, "slot 1 flags log"},
    HostedCommand{{"delete"}, "slot 1 delete"},
    HostedCommand{{"add"}, "slot 1 add gpa=0x200000 size=0x200000 hva=0x200000 log"},
    HostedCommand{{"move"}, "slot 1 move gpa=0x600000"},
    HostedCommand{{"unmap", 4}, "host migrate hva=0x20{n}000 size=0x1000"},
    HostedCommand{{"age", 4}, "host age hva=0x20{n}000 size=0x1000"},
    HostedCommand{{"split"}, "host split hva=0x200000 size=0x200000"},
    HostedCommand{{"recover"}, "nx-recover"},
    HostedCommand{{"pages"}, "mmu-pages 0x10"},
    HostedCommand{{"grace"}, "grace"},
};

// The guest changes its own tables, too: entries of the page table of 0x400000 on.
constexpr std::array shadow_commands = {
    HostedCommand{{"write", 4}, "v{v} cpl3 write 0x40{n}000 = 0x5"},
    HostedCommand{{"read", 4}, "v{v} cpl3 read 0x40{n}000"},
    HostedCommand{{"mmio"}, "v{v} cpl3 read 0x404000"},
    HostedCommand{{"entry", 4}, "v{v} entry pt 0x12000[{n}] = 0x201000 r-xu a"},
    HostedCommand{{"flush"}, "v{v} invlpg 0x400000"},
    HostedCommand{{"reload"}, "v{v} cr3 0x1000"},
    HostedCommand{{"other-root"}, "v{v} cr3 0x2000"},
    HostedCommand{{"dirty-get"}, "slot 1 dirty-get"},
    HostedCommand{{"log-off"}, "slot 1 flags none"},
    HostedCommand{{"log-on"}, "slot 1 flags log"},
    HostedCommand{{"delete"}, "slot 1 delete"},
    HostedCommand{{"add"}, "slot 1 add gpa=0x200000 size=0x200000 hva=0x200000 log"},
    HostedCommand{{"unmap", 4}, "host migrate hva=0x20{n}000 size=0x1000"},
    HostedCommand{{"age", 4}, "host age hva=0x20{n}000 size=0x1000"},
    HostedCommand{{"pages"}, "mmu-pages 0x10"},
    HostedCommand{{"grace"}, "grace"},
};

// User space clears what it has read, a word of the bitmap at a time.
constexpr std::array clear_commands = {
    HostedCommand{{"write", 4}, "v{v} cpl3 write 0x40{n}000 = 0x5"},
    HostedCommand{{"read", 4}, "v{v} cpl3 read 0x40{n}000"},
    HostedCommand{{"dirty-get"}, "slot 1 dirty-get"},
    HostedCommand{{"dirty-clear"}, "slot 1 dirty-clear first=0x0 count=0x40"},
    HostedCommand{{"log-off"}, "slot 1 flags none"},
    HostedCommand{{"log-on"}, "slot 1 flags log"},
    HostedCommand{{"delete"}, "slot 1 delete"},
    HostedCommand{{"add"}, "slot 1 add gpa=0x200000 size=0x200000 hva=0x200000 log"},
    HostedCommand{{"unmap", 4}, "host migrate hva=0x20{n}000 size=0x1000"},
    HostedCommand{{"age", 4}, "host age hva=0x20{n}000 size=0x1000"},
    HostedCommand{{"grace"}, "grace"},
};

// Huge pages that the guest executes from are split; recovery takes the tables away again,
// while an access to an entry that the host has aged walks them without mmu_lock.
constexpr std::string_view nx_recovery =
    "title  nx-recovery\n"
    "config paging=4-level mmu=tdp vcpus=3 memory=0x600000\n"
    "host vendor=intel nx-huge-pages=on ad-bits=off\n"
    "slot 0 add gpa=0x0 size=0x200000\n"
    "slot 1 add gpa=0x200000 size=0x400000 hva=0x200000\n"
    "map 0x400000 gpa=0x200000 rwxu a d\n"
    "map 0x401000 gpa=0x201000 rwxu a d\n"
    "map 0x402000 gpa=0x202000 rwxu a d\n"
    "map 0x403000 gpa=0x203000 rwxu a d\n"
    "map 0x404000 gpa=0x400000 rwxu a d\n"
    "v1 cpl3 fetch 0x400000\n"
    "v0 cpl3 fetch 0x401000\n"
    "v2 cpl3 read 0x402000\n"
    "host age hva=0x200000 size=0x4000\n";
constexpr std::array nx_commands = {
    HostedCommand{{"fetch", 4}, "v{v} cpl3 fetch 0x40{n}000"},
    HostedCommand{{"fetch-other"}, "v{v} cpl3 fetch 0x404000"},
    HostedCommand{{"read", 4}, "v{v} cpl3 read 0x40{n}000"},
    HostedCommand{{"write", 4}, "v{v} cpl3 write 0x40{n}ff8 = 0x5"},
    HostedCommand{{"age", 4}, "host age hva=0x20{n}000 size=0x1000"},
    HostedCommand{{"recover"}, "nx-recover"},
    HostedCommand{{"log-off"}, "slot 1 flags none"},
    HostedCommand{{"log-on"}, "slot 1 flags log"},
    HostedCommand{{"grace"}, "grace"},
};

constexpr std::array<HostedScenario, 7> all = {{
    {.name = "tdp-mmu",
     .title = "faults, log, slots, unmaps and walks without a lock; the TDP MMU on AMD",
     .property = sound,
     .program = CONFIG("tdp-mmu", "tdp", ""),
     .commands = commands},
    {.name = "tdp-mmu-ept",
     .title = "the same on Intel, without accessed and dirty bits, NX huge pages on",
     .property = sound,
     .program = CONFIG("tdp-mmu-ept", "tdp", "host vendor=intel nx-huge-pages=on ad-bits=off\n"),
     .commands = commands},
    {.name = "tdp-legacy",
     .title = "the same by the MMU of shadow pages",
     .property = sound,
     .program = CONFIG("tdp-legacy", "tdp", "host tdp-mmu=off\n"),
     .commands = commands},
    {.name = "manual-log",
     .title = "the dirty log is cleared by user space (KVM_CLEAR_DIRTY_LOG) below writes",
     .property = sound,
     .program = CONFIG("manual-log", "tdp dirty-log=manual", ""),
     .commands = clear_commands},
    {.name = "shadow",
     .title = "shadow paging: the guest's tables change, too, and it has two roots",
     .property = sound,
     .program = CONFIG("shadow", "shadow roots=0x1000,0x2000", ""),
     .commands = shadow_commands},
    {.name = "nx-recovery",
     .title = "recovery of NX huge pages against faults on what it takes away",
     .property = sound,
     .program = nx_recovery,
     .commands = nx_commands},
    {.name = "contended",
     .title = "as tdp-mmu, where KVM gives up mmu_lock at every chance",
     .property = sound,
     .program = CONFIG("contended", "tdp", "host contended=on\n"),
     .commands = commands},
}};

}  // namespace

std::span<const HostedScenario> hosted_scenarios() { return all; }

}  // namespace lockstep::jobs
