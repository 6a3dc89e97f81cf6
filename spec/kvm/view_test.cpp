// SPDX-License-Identifier: GPL-2.0-or-later
#include "spec/kvm/view.h"

#include <gtest/gtest.h>

#include "spec/kvm/invariants_fixture.h"

namespace lockstep::spec {
namespace {

TEST(View, IsPrinted) {
  View view = healthy();
  view.requests = {{6, "MMU_SYNC"}};
  view.vcpus[0].requests = 1u << 6 | 1u << 9;
  view.vcpus[0].mmus[0].used = true;
  view.pages.erase(0x102);
  view.pages.erase(0x103);
  view.pages.erase(0x104);
  view.pages.at(0x101).unsync = true;
  ViewEntry mmio;
  mmio.index = 9;
  mmio.kind = ViewEntry::Kind::mmio;
  mmio.raw = 0x1234;
  mmio.gfn = 0x40000;
  mmio.generation = 6;
  view.pages.at(0x101).entries.push_back(mmio);
  EXPECT_EQ(print(view),
            "view: shadow, generation 0, locks held 0\n"
            "  pages: used 4 of 0, of every VM 4, indirect 4, unsync 0\n"
            "  leaves: 4k 1, 2m 1, 1g 0; NX splits 0, longest rmap 0\n"
            "  events: zapped 0, recycled 0, flooded 0, table writes 0, cache misses 0\n"
            "  told by the host: 0 times, 0 now\n"
            "  slot generations: 0x4 0x1\n"
            "  active, newest first: 0x101 0x102 0x103 0x104\n"
            "vcpu 0: requests 6=MMU_SYNC 9\n"
            "  mmu: 0x104000 for guest root 0x1000, role 0x704: level 4, access 0x7, "
            "of the processor 0x0\n"
            "slot 0: gfn 0x0 pages 0x1000 flags 0x0, rmaps, write tracking\n"
            "  no huge page of level 2 at gfn 0x0: 4\n"
            "  no huge page of level 3 at gfn 0x0: 5\n"
            "  tracked gfn 0x1: 1\n"
            "  tracked gfn 0x2: 1\n"
            "  tracked gfn 0x3: 1\n"
            "  rmap level 1 gfn 0x8: 0x101[8]\n"
            "  rmap level 2 gfn 0x200: 0x102[1]\n"
            "page 0x101: gfn 0x4, role 0x701: level 1, access 0x7, roots 0, unsync, generation 0\n"
            "  parents: 0x102[0]\n"
            "  [8] 0x0000000000008807 leaf gfn 0x8 frame 0x8 rw-- access 0x0 host-writable "
            "mmu-writable\n"
            "  [9] 0x0000000000001234 mmio gfn 0x40000 access 0x0 generation 0x6\n");
}

}  // namespace
}  // namespace lockstep::spec
