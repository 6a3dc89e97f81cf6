// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include <iterator>

#include "spec/program.h"
#include "spec/text_command.h"
#include "spec/text_entry.h"
#include "spec/text_names.h"

namespace lockstep {

namespace {

namespace text = spec::text;
using text::word_of;

class CommandPrinter {
 public:
  CommandPrinter(std::string& out, PagingMode mode) : out_(out), mode_(mode) {}

  void operator()(const SlotAdd& c) {
    put("slot {} add gpa=0x{:x} size=0x{:x}", c.id, c.gpa, c.size);
    if (c.hva != c.gpa) put(" hva=0x{:x}", c.hva);
    slot_flags(c.log, c.read_only);
  }
  void operator()(const SlotDelete& c) { put("slot {} delete", c.id); }
  void operator()(const SlotMove& c) { put("slot {} move gpa=0x{:x}", c.id, c.gpa); }
  void operator()(const SlotFlags& c) {
    put("slot {} flags", c.id);
    if (!c.log && !c.read_only) out_ += " none";
    slot_flags(c.log, c.read_only);
  }
  void operator()(const DirtyGet& c) { put("slot {} dirty-get", c.id); }
  void operator()(const DirtyClear& c) {
    put("slot {} dirty-clear first=0x{:x} count=0x{:x}", c.id, c.first, c.count);
  }

  void operator()(const RingCollect&) { out_ += "ring-collect"; }
  void operator()(const MmuPages& c) { put("mmu-pages {}", c.pages); }
  void operator()(const HostChange& c) {
    put("host {} hva=0x{:x} size=0x{:x}", word_of(text::host_action_names, c.action), c.hva,
        c.size);
  }
  void operator()(const Shrink& c) { put("shrink {}", c.objects); }
  void operator()(const NxRecover&) { out_ += "nx-recover"; }

  void operator()(const Poke& c) {
    put("poke 0x{:x} = 0x{:x}", c.gpa, c.value);
    if (c.size != 8) put(" size={}", c.size);
    if (c.host_poke) out_ += " host-poke";
  }
  void operator()(const Peek& c) {
    put("peek 0x{:x}", c.gpa);
    if (c.size != 8) put(" size={}", c.size);
  }

  void operator()(const EntrySet& c) {
    if (c.vcpu) put("v{} ", *c.vcpu);
    put("entry {} 0x{:x}[{}] = ", word_of(text::level_names, c.level), c.table, c.index);
    text::print_entry(out_, mode_, c.value);
  }
  void operator()(const Map& c) {
    put("map 0x{:x} gpa=0x{:x} ", c.gva, c.gpa);
    text::print_rights(out_, mode_, c.rights);
    if (c.level == TableLevel::pd) out_ += mode_ == PagingMode::bits32 ? " size=4m" : " size=2m";
    if (c.level == TableLevel::pdpt) out_ += " size=1g";
    text::print_entry_options(out_, mode_, c.rights);
  }
  void operator()(const AliasTable& c) {
    const std::string_view root = word_of(text::level_names, root_level(mode_));
    put("alias-table {}[{}] = {}[{}] ", root, c.index, root, c.of);
    text::print_rights(out_, mode_, c.rights);
    text::print_entry_options(out_, mode_, c.rights);
  }

  void operator()(const Access& c) {
    put("v{} {} {} 0x{:x}", c.vcpu, word_of(text::cpl_names, c.cpl),
        word_of(text::access_names, c.kind), c.gva);
    if (c.kind == AccessKind::write) put(" = 0x{:x}", c.value);
    if (c.kind != AccessKind::fetch && c.size != text::natural_size(mode_)) {
      put(" size={}", c.size);
    }
    if (c.ac) out_ += " ac";
  }
  void operator()(const LoadCr3& c) {
    put("v{} cr3 0x{:x}", c.vcpu, c.root);
    if (c.pcid != 0) put(" pcid={}", c.pcid);
    if (c.noflush) out_ += " noflush";
  }
  void operator()(const Invlpg& c) { put("v{} invlpg 0x{:x}", c.vcpu, c.gva); }
  void operator()(const Invpcid& c) {
    const bool address = c.type == InvpcidType::address;
    put("v{} invpcid {}", c.vcpu, word_of(text::invpcid_names, c.type));
    if (address || c.type == InvpcidType::single || c.pcid != 0) put(" pcid={}", c.pcid);
    if (address || c.gva != 0) put(" gva=0x{:x}", c.gva);
  }
  void operator()(const SetControl& c) {
    put("v{} set {}={}", c.vcpu, word_of(text::control_names, c.bit),
        word_of(text::switch_names, c.on));
  }
  void operator()(const SetPkru& c) { put("v{} pkru 0x{:x}", c.vcpu, c.value); }
  void operator()(const Translate& c) { put("v{} translate 0x{:x}", c.vcpu, c.gva); }

 private:
  template <typename... Args>
  void put(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(out_), format, std::forward<Args>(args)...);
  }
  void slot_flags(bool log, bool read_only) {
    if (log) out_ += " log";
    if (read_only) out_ += " ro";
  }

  std::string& out_;
  PagingMode mode_;
};

}  // namespace

std::string print(const Command& command, PagingMode mode) {
  std::string out;
  std::visit(CommandPrinter(out, mode), command);
  return out;
}

}  // namespace lockstep
