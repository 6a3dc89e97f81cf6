// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/tables_on_hardware.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <set>

#include "props/draw.h"
#include "props/generator.h"
#include "props/lockstep.h"
#include "props/open_engines.h"
#include "spec/engine_insides.h"
#include "spec/x86/walk.h"

namespace lockstep::props {
namespace {

using Clock = std::chrono::steady_clock;
using Table = std::array<std::uint64_t, 512>;

/// Of one program: that many addresses, and memory of the walking guest.
constexpr std::size_t most_probes = 48;
constexpr std::size_t most_tables = 4096;
constexpr std::uint64_t most_pages = 1u << 15;
/// Frames closer than this share a memory slot.
constexpr Hfn gap = 512;
/// A slot number below those of any engine's harness.
constexpr std::size_t most_slots = harness::first_slot - 1;
/// The width below which entries may have address bits: bit 51 is reserved, which
/// marks MMIO.
constexpr unsigned widest = 51;
constexpr std::uint64_t frame_bits = entry::address & ~(1ull << widest);

/// Tables and pages as they were taken, and what a walk of them meets.
class Taken {
 public:
  explicit Taken(const TableExport& from) : mode_(from.mode()), root_(from.root()) {
    take(from, root_, root_level(mode_), 0);
  }
  PagingMode mode() const { return mode_; }
  Hfn root() const { return root_; }
  bool too_many() const { return tables_.size() > most_tables; }
  const std::map<Hfn, Table>& tables() const { return tables_; }
  std::map<Hfn, Table>& tables() { return tables_; }
  /// Addresses below entries that are not zero.
  const std::vector<Gva>& addresses() const { return addresses_; }

  /// What the architecture says of the access, by the bytes; a page if it succeeds.
  struct Answer {
    std::optional<Hfn> frame;
    std::uint32_t code = 0;
  };
  Answer answer(const spec::PagingState& state, const spec::AccessRights& access, Gva gva) const {
    spec::Combined rights;
    Hfn table = root_;
    for (auto level = root_level(mode_);; level = static_cast<TableLevel>(int(level) - 1)) {
      const auto found = tables_.find(table);
      if (found == tables_.end()) return {.frame = {}, .code = ~0u};
      const std::uint64_t value = found->second[index(gva, level)];
      const spec::EntryRead read = spec::read_entry(state, level, value, rights);
      switch (read.kind) {
        case spec::EntryRead::Kind::not_present:
          return {.frame = {}, .code = spec::fault_code(state, access, false, false)};
        case spec::EntryRead::Kind::reserved:
          return {.frame = {}, .code = spec::fault_code(state, access, true, true)};
        case spec::EntryRead::Kind::table:
          rights = read.rights;
          table = gpa_to_gfn(read.next);
          break;
        case spec::EntryRead::Kind::leaf:
          if (const auto code = spec::permission_fault(state, access, read.leaf)) {
            return {.frame = {}, .code = *code};
          }
          return {.frame = gpa_to_gfn(read.leaf.page + (gva & (read.leaf.size - 1)))};
      }
    }
  }
  /// The last entry of the path, to be falsified.
  std::uint64_t* leaf_entry(Gva gva) {
    Hfn table = root_;
    for (auto level = root_level(mode_);; level = static_cast<TableLevel>(int(level) - 1)) {
      const auto found = tables_.find(table);
      if (found == tables_.end()) return nullptr;
      std::uint64_t& value = found->second[index(gva, level)];
      if (level == TableLevel::pt || (value & entry::page_size) != 0) return &value;
      table = gpa_to_gfn(value & frame_bits);
    }
  }

 private:
  static unsigned index(Gva gva, TableLevel level) {
    return static_cast<unsigned>(gva >> (page_shift + 9 * (static_cast<unsigned>(level) - 1)) &
                                 511u);
  }
  void take(const TableExport& from, Hfn frame, TableLevel level, Gva base) {
    const std::uint64_t* const entries = from.table(frame);
    if (entries == nullptr || too_many()) return;
    Table& table = tables_[frame];
    std::copy_n(entries, table.size(), table.begin());
    const unsigned shift = page_shift + 9 * (static_cast<unsigned>(level) - 1);
    for (unsigned i = 0; i < table.size(); ++i) {
      const std::uint64_t value = table[i];
      if (value == 0) continue;
      Gva at = base | std::uint64_t{i} << shift;
      const unsigned top = mode_ == PagingMode::level5 ? 56 : 47;
      if (level == root_level(mode_) && (at >> top & 1) != 0) at |= ~0ull << top;
      const bool link = level != TableLevel::pt && (value & entry::present) != 0 &&
                        (value & entry::page_size) == 0 && (value >> widest & 1) == 0;
      if (link) {
        take(from, gpa_to_gfn(value & frame_bits),
             static_cast<TableLevel>(static_cast<unsigned>(level) - 1), at);
      } else {
        addresses_.push_back(at);
      }
    }
  }

  PagingMode mode_;
  Hfn root_;
  std::map<Hfn, Table> tables_;
  std::vector<Gva> addresses_;
};

std::optional<Gva> address_of(const Command& command) {
  if (const auto* access = std::get_if<Access>(&command)) return access->gva;
  if (const auto* invlpg = std::get_if<Invlpg>(&command)) return invlpg->gva;
  return std::nullopt;
}

class Run {
 public:
  explicit Run(const TablesOptions& options) : options_(options) { result_.seed = options.seed; }

  TablesResult run() {
    const auto started = Clock::now();
    if (open()) {
      for (std::uint64_t index = 0; !over(started, index); ++index) {
        one(index);
        result_.seconds = std::chrono::duration<double>(Clock::now() - started).count();
        if (!options_.progress) continue;
        options_.progress({.seconds = result_.seconds,
                           .programs = result_.programs,
                           .accesses = result_.accesses,
                           .findings = result_.findings.size()});
      }
      for (const auto& [path, times] : processor_->reached()) result_.reached[path] += times;
    }
    conclude();
    return std::move(result_);
  }

 private:
  bool over(Clock::time_point started, std::uint64_t index) const {
    return Clock::now() - started >= options_.budget || !result_.reason.empty() ||
           (options_.stop != nullptr && options_.stop->load()) ||
           (options_.max_programs != 0 && index >= options_.max_programs) ||
           result_.findings.size() >= options_.max_findings;
  }

  bool open() {
    const EngineFactory factory = options_.factory ? options_.factory : make_engine;
    for (auto [name, engine] :
         {std::pair(&options_.maker, &maker_), std::pair(&options_.processor, &processor_)}) {
      auto made = factory(*name, options_.seed);
      if (!made) {
        result_.reason = fmt::format("{}: {}", *name, made.error().message);
        return false;
      }
      *engine = std::move(*made);
    }
    exporter_ = dynamic_cast<ExportsTables*>(maker_.get());
    if (exporter_ == nullptr) {
      result_.reason = options_.maker + " exports no tables";
      return false;
    }
    models_ = options_.models ? options_.models : machine_models();
    // Tables of the maker are always 64-bit ones, whatever its guest has.
    const std::array platforms = {maker_->platform()};
    generator_ = generator_options(platforms);
    const auto lacks_feature = [&](Feature feature) {
      return !processor_->platform().features.test(static_cast<std::size_t>(feature));
    };
    for (const Feature needed : {Feature::paging_level4, Feature::nx}) {
      if (!lacks_feature(needed)) continue;
      result_.reason = fmt::format("{} lacks {}", options_.processor, name(needed));
      return false;
    }
    if (processor_->platform().max_maxphyaddr < 44) {
      result_.reason = fmt::format("{} has too narrow addresses", options_.processor);
      return false;
    }
    return true;
  }

  void skip(std::string reason) { ++result_.skipped[std::move(reason)]; }

  void one(std::uint64_t index) {
    program_ = generate(generator_, options_.seed, index);
    program_.configuration.mmu = MmuKind::shadow;
    if (const auto reason = lacks(maker_->platform(), program_)) return skip(*reason);
    if (const auto illegal = validate(program_)) return skip("another program: " + illegal->reason);
    const auto lowered = lower(program_);
    if (!lowered || lowered->steps.empty()) return skip("nothing to run");
    Draw draw(options_.seed ^ (index * 0x9e37'79b9ull));
    // The second half, where there is something to see.
    const std::size_t steps = lowered->steps.size();
    const std::size_t end = steps - draw.below(steps / 2 + 1);
    program_.steps.resize(std::min(program_.steps.size(), lowered->origin[end - 1] + 1));
    if (auto begun = maker_->begin(lowered->configuration, /*fresh=*/false); !begun) {
      result_.reason = begun.error().message;
      return;
    }
    model_ = models_(lowered->configuration, maker_->platform());
    if (play(*lowered, end)) walk(*lowered, draw);
    if (auto ended = maker_->end(); !ended) result_.reason = ended.error().message;
    model_.reset();
  }

  /// The first commands on the maker; false if its own answers are in question.
  bool play(const Lowered& lowered, std::size_t end) {
    for (std::size_t i = 0; i < end; ++i) {
      const Command& command = lowered.steps[i].command;
      const auto shown = maker_->execute(command);
      if (!shown) {
        result_.reason = shown.error().message;
        return false;
      }
      const auto judged = model_->judge(command, *shown);
      if (judged.kind == spec::Judgement::Kind::admitted) continue;
      skip(judged.kind == spec::Judgement::Kind::refused
               ? "the maker's own answer is refused: see side-by-side"
               : "the model is undecided");
      return false;
    }
    return true;
  }

  void walk(const Lowered& lowered, Draw& draw) {
    const unsigned vcpu = draw.below(lowered.configuration.vcpus);
    const auto exported = exporter_->export_tables(vcpu);
    if (!exported) return skip("the vCPU has no root");
    Taken taken(*exported);
    if (taken.too_many()) return skip("too many tables");
    if (taken.mode() == PagingMode::level5 &&
        !processor_->platform().features.test(static_cast<std::size_t>(Feature::paging_level5))) {
      return skip(fmt::format("{} lacks 5-level paging", options_.processor));
    }
    state_ = {};
    state_.mode = taken.mode();
    state_.control = Configuration{}.control;
    state_.maxphyaddr = std::min(widest, processor_->platform().max_maxphyaddr);
    state_.amd = processor_->platform().amd;
    std::vector<Gva> addresses = choose(taken, lowered, draw);
    if (addresses.empty()) return skip("no address");
    const auto falsified = options_.canary && !result_.canary_found
                               ? falsify(taken, addresses)
                               : std::optional<std::uint64_t>();
    if (!load(taken, *exported, addresses)) return;
    if (falsified) *leaf_ = *falsified;  // the rules are asked about what the maker made
    ++result_.programs;
    result_.tables += taken.tables().size();
    for (const AccessKind kind : {AccessKind::read, AccessKind::fetch, AccessKind::write}) {
      for (const Gva gva : addresses) {
        if (!access(taken, *exported, vcpu, kind, gva, falsified.has_value())) {
          (void)processor_->end();
          return;
        }
      }
    }
    if (auto ended = processor_->end(); !ended) result_.reason = ended.error().message;
  }

  /// Pages of the maker's tables and of the program's commands.
  std::vector<Gva> choose(const Taken& taken, const Lowered& lowered, Draw& draw) const {
    std::set<Gva> all;
    for (const Step& step : lowered.steps) {
      if (const auto gva = address_of(step.command)) all.insert(*gva & page_mask);
    }
    for (const Gva gva : taken.addresses()) {
      all.insert(gva);
      all.insert(gva + (draw.below(512) << page_shift));  // inside a large page, or beside
    }
    std::vector<Gva> some;
    for (const Gva gva : all) {
      const bool of_harness = (gva >> (taken.mode() == PagingMode::level5 ? 48 : 39) & 511u) >=
                              harness_index(taken.mode());
      if (!spec::canonical(taken.mode(), gva) || of_harness || gva >> 63 != 0) continue;
      // Hardware does not see what is reserved for a guest of fewer bits: looseness
      // narrow-maxphyaddr.
      const Platform& platform = processor_->platform();
      const bool blind = platform.tdp && platform.host_maxphyaddr > state_.maxphyaddr;
      if (blind && (taken.answer(state_, {}, gva).code & fault::reserved) != 0) continue;
      some.push_back(gva);
    }
    while (some.size() > most_probes) {
      some[draw.below(some.size())] = some.back();
      some.pop_back();
    }
    std::ranges::sort(some);
    return some;
  }

  /// Take users' access from a page that they may read; what stood there.
  std::optional<std::uint64_t> falsify(Taken& taken, const std::vector<Gva>& addresses) {
    for (const Gva gva : addresses) {
      if (!taken.answer(state_, {}, gva).frame) continue;
      leaf_ = taken.leaf_entry(gva);
      if (leaf_ == nullptr) continue;
      const std::uint64_t old = *leaf_;
      false_gva_ = gva;
      *leaf_ &= ~entry::user;
      return old;
    }
    return std::nullopt;
  }

  /// The processor's guest gets the tables, and the pages that the addresses lead to.
  bool load(const Taken& taken, const TableExport& from, const std::vector<Gva>& addresses) {
    std::set<Hfn> frames, pages;
    for (const auto& [frame, table] : taken.tables()) frames.insert(frame);
    for (const Gva gva : addresses) {
      for (const auto kind : {AccessKind::read, AccessKind::fetch}) {
        if (const auto frame = taken.answer(state_, {.kind = kind}, gva).frame) {
          pages.insert(*frame);
        }
      }
    }
    frames.insert(pages.begin(), pages.end());
    Configuration configuration;
    configuration.paging = taken.mode();
    configuration.maxphyaddr = state_.maxphyaddr;
    configuration.roots = {gfn_to_gpa(taken.root())};
    std::vector<SlotAdd> slots;
    for (const Hfn frame : frames) {
      if (slots.empty() || frame > gpa_to_gfn(slots.back().gpa + slots.back().size) + gap) {
        const Hva hva = slots.empty() ? 0 : slots.back().hva + slots.back().size;
        slots.push_back({.id = static_cast<unsigned>(slots.size()),
                         .gpa = gfn_to_gpa(frame),
                         .size = 0,
                         .hva = hva});
      }
      slots.back().size = gfn_to_gpa(frame + 1) - slots.back().gpa;
    }
    configuration.memory = slots.back().hva + slots.back().size;
    if (slots.size() > most_slots || configuration.memory >> page_shift > most_pages) {
      skip("too much memory");
      return false;
    }
    if (auto begun = processor_->begin(configuration, /*fresh=*/false); !begun) {
      return broke(begun.error());
    }
    for (const SlotAdd& slot : slots) {
      if (!done(slot)) return false;
    }
    for (const auto& [frame, table] : taken.tables()) {
      for (unsigned i = 0; i < table.size(); ++i) {
        if (!done(Poke{.gpa = gfn_to_gpa(frame) + i * 8, .value = table[i]})) return false;
      }
    }
    for (const Hfn frame : pages) {
      for (unsigned offset = 0; offset < page_size; offset += 8) {
        const auto value = from.load(frame, offset);
        if (!value) continue;
        if (!done(Poke{.gpa = gfn_to_gpa(frame) + offset, .value = *value})) return false;
      }
    }
    return true;
  }

  bool broke(const EngineError& error) {
    result_.reason = fmt::format("{}: {}", options_.processor, error.message);
    return false;
  }
  bool done(const Command& command) {
    const auto shown = processor_->execute(command);
    if (!shown) return broke(shown.error());
    if (std::holds_alternative<Done>(*shown)) return true;
    return broke({fmt::format("loading the tables: {}", print(*shown))});
  }

  /// One access on the processor; false to end with this program.
  bool access(const Taken& taken, const TableExport& from, unsigned vcpu, AccessKind kind, Gva gva,
              bool falsified) {
    Access command{.vcpu = 0, .kind = kind, .gva = gva};
    if (kind == AccessKind::write) command.value = gva | 1;
    const auto answer = taken.answer(state_, {.kind = kind}, gva);
    // Whatever else lies there must not be executed.
    if (kind == AccessKind::fetch && answer.frame) {
      const auto cell = from.load(*answer.frame, 0);
      if (!cell || *cell != code_cell(static_cast<std::uint32_t>(*cell >> 8))) return true;
    }
    const auto shown = processor_->execute(command);
    if (!shown) return broke(shown.error());
    ++result_.accesses;
    const Observation wanted = expected(answer, kind, gva, from);
    if (*shown != wanted) {
      if (falsified && gva == false_gva_ && std::holds_alternative<PageFault>(*shown)) {
        result_.canary_found = true;
        return false;
      }
      tell(command, *shown, print(wanted), "the rules over these bytes say otherwise");
      return false;
    }
    if (const auto* fault = std::get_if<PageFault>(&*shown)) {
      ++result_.faults;
      if ((fault->code & fault::reserved) != 0) ++result_.reserved;
      return true;  // the maker would handle it
    }
    ++result_.reached_memory;
    command.vcpu = vcpu;
    const auto judged = model_->judge(command, *shown);
    if (judged.kind == spec::Judgement::Kind::admitted) return true;
    if (judged.kind == spec::Judgement::Kind::undecided) return false;
    tell(command, *shown, judged.why, "the tables grant what the model of the guest does not");
    return false;
  }

  Observation expected(const Taken::Answer& answer, AccessKind kind, Gva gva,
                       const TableExport& from) const {
    if (!answer.frame) return PageFault{answer.code, gva};
    if (kind == AccessKind::write) return Done{};
    // Reads come before writes: memory is as the maker has it.
    const std::uint64_t value = from.load(*answer.frame, 0).value_or(0);
    return Value{kind == AccessKind::fetch ? (value >> 8) & 0xffff'ffff : value};
  }

  void tell(const Command& command, const Observation& shown, const std::string& admitted,
            std::string_view what) {
    TablesFinding found;
    Finding& finding = found.finding;
    finding.engine = options_.maker;
    finding.command = print(command, state_.mode);
    finding.command_kind = "tables";
    finding.title = fmt::format("tables on hardware: {}", what);
    finding.sides = {
        {.engine = options_.processor, .answer = print(shown), .why = {}},
        {.engine = options_.maker, .answer = "(made the tables)", .why = {}, .odd = true}};
    finding.admitted = {admitted};
    finding.walk = model_->explain(command);
    found.program = program_;
    result_.findings.push_back(std::move(found));
  }

  void conclude() {
    if (!result_.findings.empty()) {
      result_.verdict = Verdict::fail;
      result_.reason = result_.findings.front().finding.title;
    } else if (!result_.reason.empty()) {
      result_.verdict = Verdict::no_verdict;
    } else if (result_.reached_memory == 0) {
      result_.reason = "no access got at memory";
    } else if (options_.canary && !result_.canary_found) {
      result_.reason = "an entry that was falsified was not found: the run cannot see failure";
    } else {
      result_.verdict = Verdict::pass;
      result_.reason =
          fmt::format("{} accesses by tables of {} programs", result_.accesses, result_.programs);
    }
  }

  const TablesOptions& options_;
  TablesResult result_;
  std::unique_ptr<Engine> maker_, processor_;
  ExportsTables* exporter_ = nullptr;  ///< the maker
  ModelFactory models_;
  GeneratorOptions generator_;
  Program program_;
  std::unique_ptr<Model> model_;
  spec::PagingState state_;
  std::uint64_t* leaf_ = nullptr;  ///< that was falsified, and the address that it maps
  Gva false_gva_ = 0;
};

}  // namespace

TablesResult run_tables_on_hardware(const TablesOptions& options) { return Run(options).run(); }

}  // namespace lockstep::props
