// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/refinement_programs.h"

#include <fmt/format.h>

#include <cstdint>
#include <utility>

#include "spec/vocabulary/address.h"

namespace lockstep::jobs {
namespace {

constexpr std::uint64_t linear = 0x400000;       ///< the address that everything is about
constexpr std::uint64_t of_table = 0x401000;     ///< maps the page table itself
constexpr std::uint64_t slots_begin = 0x100000;  ///< gpa of gfn 0 of the template

/// A counterexample as the parts of a program.
class Teller {
 public:
  Teller(std::string_view theorem, const smt::Assignment& found) : found_(found) {
    auto name = theorem.substr(std::string_view("refines-").size());
    for (const std::string_view mode : {"-5-level", "-4-level", "-pae", "-32-bit", "-tdp"}) {
      if (!name.ends_with(mode)) continue;
      mode_ = mode.substr(1);
      name.remove_suffix(mode.size());
      break;
    }
    command_ = name;
  }

  std::string tell() {
    using Tell = void (Teller::*)();
    static constexpr std::pair<std::string_view, Tell> tellers[] = {
        {"access-read", &Teller::access_read},
        {"access-write", &Teller::access_write},
        {"access-fetch", &Teller::access_fetch},
        {"invlpg", &Teller::invlpg},
        {"load-cr3", &Teller::load_cr3},
        {"set-cr3", &Teller::set_cr3},
        {"invpcid", &Teller::invpcid},
        {"set-registers", &Teller::set_registers},
        {"slot-delete", &Teller::slot_delete},
        {"slot-zap-all", &Teller::slot_zap_all},
        {"slot-move", &Teller::slot_move},
        {"slot-create", &Teller::slot_create},
        {"slot-flags", &Teller::slot_flags},
        {"dirty-get", &Teller::dirty_get},
        {"dirty-clear", &Teller::dirty_clear},
        {"host-migrate", &Teller::host_migrate},
        {"host-protect", &Teller::host_protect},
        {"ring-collect", &Teller::ring_collect},
        {"reclaim", &Teller::reclaim}};
    for (const auto& [name, teller] : tellers) {
      if (name == command_) (this->*teller)();
    }
    return body_.empty() ? body_ : head() + body_;
  }

 private:
  std::uint64_t value(const std::string& name) const {
    const auto known = found_.find(name);
    return known == found_.end() ? 0 : known->second;
  }
  bool on(const std::string& name) const { return value(name) != 0; }
  bool tdp() const { return mode_ == "tdp"; }
  bool narrow() const { return mode_ == "32-bit"; }
  /// No defect of impl keeps quarters beyond a load of CR3.
  bool quartered() const { return narrow() || mode_ == "pae"; }

  void line(std::string text) { body_ += std::move(text) + "\n"; }
  void config(std::string_view text) { config_ += fmt::format(" {}", text); }

  /// Of the command: of the gfn that it names, of the slot, or of vCPU 0's SPTE.
  std::uint64_t gfn() const {
    if (found_.contains("gfn")) return value("gfn") & 3;
    if (found_.contains("slot")) return 2 * (value("slot") & 1) + (value("page0.spte-gfn") & 1);
    return value("page0.spte-gfn") & 3;
  }
  std::uint64_t gpa() const { return slots_begin + gfn() * page_size; }
  unsigned slot() const { return gfn() < 2 ? 1 : 2; }
  std::uint64_t hva() const { return hva_of(slot()) + (gfn() & 1) * page_size; }
  static std::uint64_t hva_of(unsigned slot) { return slot == 1 ? 0x200000 : 0x300000; }
  std::string add_slot(unsigned which) const {
    return fmt::format("slot {} add gpa=0x{:x} size=0x2000 hva=0x{:x}", which,
                       slots_begin + (which - 1) * 0x2000, hva_of(which));
  }
  /// Of the page table that maps `linear`; those above it lie before it, from 0x10000.
  std::uint64_t table() const {
    const unsigned above = narrow() ? 0 : mode_ == "pae" ? 1 : mode_ == "5-level" ? 3 : 2;
    return 0x10000 + above * page_size;
  }
  unsigned cpl() const { return on("user") ? 3 : 0; }

  std::string head() const {
    std::string text =
        fmt::format("lockstep 1\ntitle  counterexample of {}, {}\n", command_, mode_);
    text +=
        fmt::format("config paging={} mmu={} vcpus=2{}\n",
                    tdp() ? std::string_view("4-level") : mode_, tdp() ? "tdp" : "shadow", config_);
    text += "slot 0 add gpa=0x0 size=0x20000\n";
    for (const unsigned which : {1u, 2u}) {
      if (which != absent_) text += add_slot(which) + "\n";
    }
    return text + fmt::format("map 0x{:x} gpa=0x{:x} {}\n", linear, gpa(), rights_);
  }
  /// Control bits that decide nothing for a user's access to a user's page.
  void registers_of_user() {
    config(fmt::format("cr0.wp={:d} efer.nx={:d} cr4.smep={:d} cr4.smap={:d}", on("vcpu0.cr0.wp"),
                       on("vcpu0.efer.nx"), on("vcpu0.cr4.smep"), on("vcpu0.cr4.smap")));
  }
  void read() { line(fmt::format("v0 cpl3 read 0x{:x}", linear)); }
  void write(unsigned value) { line(fmt::format("v0 cpl3 write 0x{:x} = 0x{:x}", linear, value)); }
  void log(bool on) { line(fmt::format("slot {} flags{}", slot(), on ? " log" : " none")); }
  void get_log() { line(fmt::format("slot {} dirty-get", slot())); }

  /// The guest's table is mapped writable and stored to: its page lags behind.
  void unsync() {
    body_ = fmt::format("map 0x{:x} gpa=0x{:x} rwxu\n", of_table, table());
    read();
    store_entry(gfn() ^ 1);
  }
  void store_entry(std::uint64_t to) {
    line(fmt::format("v0 cpl3 write 0x{:x} = 0x{:x}", of_table,
                     (slots_begin + to * page_size) | 0x67));
  }

  void access_read() {
    if (tdp()) {
      registers_of_user();
      line(fmt::format("host protect hva=0x{:x} size=0x1000", hva()));
      read();
      return write(1);
    }
    registers_of_user();
    line(fmt::format("map 0x{:x} gpa=0x{:x} r-xu", of_table, table()));
    line(fmt::format("entry pt 0x{:x}[0] = 0x{:x} rwxu a", table(), gpa()));
    read();
    write(1);
    // The entry itself: a write must have set its dirty flag.
    line(fmt::format("v0 cpl3 read 0x{:x}", of_table));
  }
  void access_write() {
    if (tdp()) {
      registers_of_user();
      log(true);
      for (const unsigned value : {1u, 2u}) {
        write(value);
        get_log();
      }
      return;
    }
    // The exchange is for CR0.WP=0 and a page that may not be written.
    config(fmt::format("cr0.wp=0 efer.nx={:d} cr4.smep={:d}", on("vcpu0.efer.nx"),
                       on("vcpu0.cr4.smep")));
    rights_ = "r-xu";
    line(fmt::format("v0 cpl0 write 0x{:x} = 0x1", linear));
    write(2);
  }
  void access_fetch() {
    if (tdp()) return;  // nobody but KVM's own users follows writes to a page
    config(fmt::format("cr0.wp={:d} efer.nx={:d} cr4.smep=1", on("vcpu0.cr0.wp"),
                       on("vcpu0.efer.nx")));
    line(fmt::format("v0 cpl{} fetch 0x{:x}", cpl(), linear));
  }
  void invlpg() {
    registers_of_user();
    unsync();
    line(fmt::format("v0 invlpg 0x{:x}", linear));
    read();
  }
  void load_cr3() {
    if (quartered()) return;
    registers_of_user();
    unsync();
    for (const std::uint64_t to : {gfn() ^ 1, gfn() ^ 2}) {
      line("v0 cr3 0x1000");
      read();
      store_entry(to);
    }
    line("v0 cr3 0x1000");
    read();
  }
  /// Two roots of the same tables: what one lets lag behind, the other finds.
  void set_cr3() {
    if (quartered()) return;
    registers_of_user();
    config("roots=0x1000,0x9000");
    unsync();
    body_ =
        fmt::format("entry {} 0x9000[0] = 0x10000 rwxu\n", mode_ == "4-level" ? "pml4" : "pml5") +
        body_;
    for (const char* root : {"0x9000", "0x1000"}) {
      line(fmt::format("v0 cr3 {}", root));
      read();
      store_entry(root[2] == '9' ? gfn() ^ 2 : gfn() ^ 1);
    }
    line("v0 cr3 0x9000");
    read();
  }
  void invpcid() {
    registers_of_user();
    unsync();
    line("v0 invpcid all-and-global");
    read();
  }
  void set_registers() {
    const bool smep =
        on("vcpu0.cr4.smep") != on("now.cr4.smep") && on("vcpu0.cr0.wp") == on("now.cr0.wp");
    if (smep) {
      config("cr0.wp=0 cr4.smep=0");
      rights_ = "r-xu";
      line(fmt::format("v0 cpl0 write 0x{:x} = 0x1", linear));
      line("v0 set cr4.smep=1");
      return line(fmt::format("v0 cpl0 fetch 0x{:x}", linear));
    }
    config("cr0.wp=0");
    rights_ = "r-xu";
    line(fmt::format("v0 cpl0 write 0x{:x} = 0x1", linear));
    line("v0 set cr0.wp=1");
    line(fmt::format("v0 cpl0 write 0x{:x} = 0x2", linear));
  }
  void slot_delete() {
    registers_of_user();
    config("slot-zap-all=0");
    if (!tdp()) {
      // The page table moves into the slot, what it maps is in the other one.
      const std::uint64_t directory = narrow() ? 0x1000 : table() - page_size;
      line(fmt::format("entry pd 0x{:x}[{}] = 0x{:x} rwxu a", directory, narrow() ? 1 : 2, gpa()));
      line(fmt::format("entry pt 0x{:x}[0] = 0x{:x} rwxu a d", gpa(),
                       slots_begin + (gfn() ^ 2) * page_size));
    }
    read();
    line(fmt::format("slot {} delete", slot()));
    read();
  }
  void slot_move() {
    registers_of_user();
    if (!on("slot-zap-all")) config("slot-zap-all=0");
    absent_ = 3 - slot();
    read();
    line(fmt::format("slot {} move gpa=0x{:x}", slot(), slots_begin + (absent_ - 1) * 0x2000));
    read();
  }
  void ring_collect() {
    registers_of_user();
    config("dirty-log=ring");
    log(true);
    for (const unsigned value : {1u, 2u}) {
      write(value);
      line("ring-collect");
    }
  }
  void slot_create() {
    registers_of_user();
    absent_ = slot();
    read();
    line(add_slot(slot()));
    read();
  }
  void slot_flags() {
    registers_of_user();
    write(1);
    log(true);
    write(2);
    get_log();
  }
  void dirty_get() {
    registers_of_user();
    log(true);
    for (const unsigned value : {1u, 2u}) {
      write(value);
      get_log();
    }
  }
  void dirty_clear() {
    registers_of_user();
    config("dirty-log=manual");
    log(true);
    for (const unsigned value : {1u, 2u}) {
      write(value);
      get_log();
      line(fmt::format("slot {} dirty-clear first=0x0 count=0x2", slot()));
    }
  }
  void host_migrate() {
    registers_of_user();
    write(1);
    line(fmt::format("host migrate hva=0x{:x} size=0x1000", hva()));
    write(2);
    read();
  }
  void host_protect() {
    registers_of_user();
    write(1);
    line(fmt::format("host protect hva=0x{:x} size=0x1000", hva()));
    write(2);
  }
  void reclaim() {
    registers_of_user();
    write(1);
    line("shrink 128");
    line(fmt::format("host migrate hva=0x{:x} size=0x1000", hva()));
    write(2);
    read();
  }

  void slot_zap_all() {
    registers_of_user();
    read();
    line(fmt::format("slot {} delete", slot()));
    read();
  }

  const smt::Assignment& found_;
  std::string_view command_, mode_;
  std::string config_, body_;
  std::string_view rights_ = "rwxu";
  unsigned absent_ = 0;  ///< slot that the program makes later
};

struct Defect {
  std::string_view command;
  std::string_view shadow;
  std::string_view direct;
};
constexpr Defect defects[] = {
    {"access-read", "clean-entry-writable", "host-protection-ignored"},
    {"access-write", "wp0-leaves-user", "fast-fault-not-logged"},
    {"access-fetch", "walk-without-smep", {}},
    {"invlpg", "invlpg-does-not-sync", {}},
    {"load-cr3", "sync-without-protection", {}},
    {"set-cr3", "cr3-does-not-sync", {}},
    {"invpcid", "cr3-does-not-sync", {}},
    {"set-registers", "root-of-other-role", {}},
    {"slot-delete", "slot-table-kept", "delete-keeps-mappings"},
    {"slot-zap-all", "delete-keeps-mappings", "delete-keeps-mappings"},
    {"slot-move", "move-keeps-mappings", "move-keeps-mappings"},
    {"slot-create", "create-keeps-generation", "create-keeps-generation"},
    {"slot-flags", "enable-log-without-protect", "enable-log-without-protect"},
    {"dirty-get", "dirty-get-without-flush", "dirty-get-without-flush"},
    {"dirty-clear", "dirty-clear-without-protect", "dirty-clear-without-protect"},
    {"ring-collect", "ring-reset-without-protect", "ring-reset-without-protect"},
    {"host-migrate", "notifier-unmaps-nothing", "notifier-unmaps-nothing"},
    {"host-protect", "notifier-unmaps-nothing", "notifier-unmaps-nothing"},
    {"host-age", "age-clears-dirty", "age-clears-dirty"},
    {"reclaim", "zapped-pages-without-flush", "tdp-zap-without-flush"},
};

}  // namespace

std::string refinement_program(std::string_view theorem, const smt::Assignment& found) {
  if (!theorem.starts_with("refines-")) return {};
  return Teller(theorem, found).tell();
}

std::string_view refinement_defect(std::string_view theorem) {
  for (const auto& defect : defects) {
    if (!theorem.starts_with(fmt::format("refines-{}-", defect.command))) continue;
    return theorem.ends_with("-tdp") ? defect.direct : defect.shadow;
  }
  return {};
}

}  // namespace lockstep::jobs
