// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/command_kind.h"

#include <fmt/format.h>

#include <array>

#include "spec/vocabulary/paging.h"

namespace lockstep::props {
namespace {

struct KindOf {
  std::string_view operator()(const SlotAdd&) const { return "slot add"; }
  std::string_view operator()(const SlotDelete&) const { return "slot delete"; }
  std::string_view operator()(const SlotMove&) const { return "slot move"; }
  std::string_view operator()(const SlotFlags&) const { return "slot flags"; }
  std::string_view operator()(const Poke&) const { return "poke"; }
  std::string_view operator()(const Peek&) const { return "peek"; }
  std::string_view operator()(const EntrySet& command) const {
    return command.vcpu ? "guest entry" : "entry";
  }
  std::string_view operator()(const Map&) const { return "map"; }
  std::string_view operator()(const AliasTable&) const { return "alias-table"; }
  std::string_view operator()(const Access& command) const {
    switch (command.kind) {
      case AccessKind::read:
        return "read";
      case AccessKind::write:
        return "write";
      case AccessKind::fetch:
        break;
    }
    return "fetch";
  }
  std::string_view operator()(const LoadCr3&) const { return "cr3"; }
  std::string_view operator()(const Invlpg&) const { return "invlpg"; }
  std::string_view operator()(const Invpcid&) const { return "invpcid"; }
  std::string_view operator()(const SetControl&) const { return "control"; }
  std::string_view operator()(const SetPkru&) const { return "pkru"; }
  std::string_view operator()(const Translate&) const { return "translate"; }
  std::string_view operator()(const DirtyGet&) const { return "dirty get"; }
  std::string_view operator()(const DirtyClear&) const { return "dirty clear"; }
  std::string_view operator()(const RingCollect&) const { return "ring collect"; }
  std::string_view operator()(const MmuPages&) const { return "mmu pages"; }
  std::string_view operator()(const HostChange& change) const {
    static constexpr std::array<std::string_view, host_action_count> names = {
        "host migrate", "host protect",  "host unprotect", "host age",
        "host split",   "host collapse", "host discard"};
    return names[static_cast<std::size_t>(change.action)];
  }
  std::string_view operator()(const Shrink&) const { return "shrink"; }
  std::string_view operator()(const NxRecover&) const { return "nx recover"; }
};

struct ShapeOf {
  std::string operator()(const Done&) const { return "ok"; }
  std::string operator()(const Value&) const { return "a value"; }
  std::string operator()(const PageFault& fault) const {
    std::string text = "#PF";
    text += (fault.code & fault::present) != 0 ? " present" : " not-present";
    if ((fault.code & fault::write) != 0) text += " write";
    if ((fault.code & fault::user) != 0) text += " user";
    if ((fault.code & fault::reserved) != 0) text += " rsvd";
    if ((fault.code & fault::fetch) != 0) text += " fetch";
    if ((fault.code & fault::protection_key) != 0) text += " pk";
    return text;
  }
  std::string operator()(const Exception& exception) const {
    return fmt::format("exception {}", exception.vector);
  }
  std::string operator()(const Mmio& mmio) const {
    return mmio.write ? "an MMIO write" : "an MMIO read";
  }
  std::string operator()(const Errno& error) const { return fmt::format("errno {}", error.number); }
  std::string operator()(const DirtyBitmap&) const { return "a bitmap"; }
  std::string operator()(const Translation& translation) const {
    return translation.gpa ? "a gpa" : "no gpa";
  }
  std::string operator()(const InternalError& error) const {
    return fmt::format("internal error {}", error.suberror);
  }
  std::string operator()(const Livelock&) const { return "a livelock"; }
  std::string operator()(const Unexpected&) const { return "an unexpected exit"; }
  std::string operator()(const DirtyPages&) const { return "dirty pages"; }
};

}  // namespace

std::string_view command_kind(const Command& command) { return std::visit(KindOf{}, command); }

std::string shape(const Observation& observation) { return std::visit(ShapeOf{}, observation); }

}  // namespace lockstep::props
