// SPDX-License-Identifier: GPL-2.0-or-later
// Parallel blocks: is there an order of atomic steps that explains what they showed?
#include <algorithm>
#include <bit>

#include "spec/kvm/state.h"
#include "spec/program.h"

namespace lockstep::spec {
namespace {

/// Steps that are judged for one question. Beyond them it stays open.
constexpr unsigned step_bound = 20'000;

/// Pages of a bitmap, a bit each.
using Pages = std::vector<std::uint64_t>;

bool any(const Pages& pages) {
  return std::any_of(pages.begin(), pages.end(), [](std::uint64_t word) { return word != 0; });
}

/// A store, which may wait in the buffer of its processor: SDM volume 3, "Memory
/// Ordering": reads may be reordered with older writes to different locations.
const Access* as_store(const Command& command) {
  const auto* access = std::get_if<Access>(&command);
  return access != nullptr && access->kind == AccessKind::write ? access : nullptr;
}

const Access* as_load(const Command& command) {
  const auto* access = std::get_if<Access>(&command);
  return access != nullptr && access->kind == AccessKind::read ? access : nullptr;
}

bool overlap(const Access& one, const Access& other) {
  return one.gva < other.gva + other.size && other.gva < one.gva + one.size;
}

}  // namespace

/// One command, or one parallel block, with what it showed.
struct Judged {
  std::vector<ParallelCommand> commands;
  std::vector<ParallelAnswer> answers;
  bool block = false;
};

struct Machine::Orders {
  State before;  ///< the first block
  std::vector<Judged> since;
};

namespace {

/// Depth-first over the orders of every block, until all that was shown is explained.
class Search {
 public:
  using State = Machine::State;
  explicit Search(std::span<const Judged> all) : all_(all) {}

  /// The state behind everything, if some order explains it.
  std::optional<State> run(const State& before) {
    if (!from(before, 0)) return std::nullopt;
    return std::move(found_);
  }
  bool exhausted() const { return steps_ > step_bound; }
  /// The model said nothing about some step: why.
  const std::optional<Judgement>& open() const { return open_; }

 private:
  /// Where a block stands.
  struct Node {
    State state;
    std::uint32_t done = 0;   ///< commands, a bit each
    std::uint32_t begun = 0;  ///< of those that begin and end
    Pages collected;          ///< of the dirty-get or dirty-clear that goes on
    /// Which command has walked to which page, maybe, and has yet to log it.
    std::vector<std::pair<std::size_t, Gpa>> walked = {};
  };

  bool from(const State& state, std::size_t item) {
    if (item == all_.size()) {
      found_ = state;
      return true;
    }
    const Judged& judged = all_[item];
    Node node{state, 0, 0, {}, {}};
    if (judged.block) return block(node, item);
    return take(node, judged, 0) && from(node.state, item + 1);
  }

  /// Judge one command and take the step; false if it is not admitted.
  bool take(Node& node, const Judged& judged, std::size_t which) {
    if (++steps_ > step_bound) return false;
    const Command& command = judged.commands[which].command;
    auto judgement = node.state.begin(command);
    if (!judgement) judgement = node.state.conclude(command, judged.answers[which].observation);
    if (judgement->kind == Judgement::Kind::undecided) open_ = *judgement;
    node.done |= 1u << which;
    return judgement->kind == Judgement::Kind::admitted;
  }

  /// Commands that may take a step: the next of each thread, loads that pass stores
  /// which wait, and none that began after one was over that is not done here.
  std::vector<std::size_t> ready(const Judged& judged, std::uint32_t done) const {
    std::vector<std::size_t> ready;
    for (std::size_t i = 0; i < judged.commands.size(); ++i) {
      if (((done >> i) & 1u) != 0 || !may_pass(judged, done, i)) continue;
      bool waits = false;
      for (std::size_t j = 0; j < judged.commands.size() && !waits; ++j) {
        waits = ((done >> j) & 1u) == 0 && judged.commands[j].thread != judged.commands[i].thread &&
                judged.answers[j].ended < judged.answers[i].began;
      }
      if (!waits) ready.push_back(i);
    }
    // What was over first was most likely first.
    std::stable_sort(ready.begin(), ready.end(), [&](std::size_t a, std::size_t b) {
      return judged.answers[a].ended < judged.answers[b].ended;
    });
    return ready;
  }

  /// Whether everything before it in its thread is done, or a store that it may pass. A
  /// load of what such a store wrote is served from the buffer and holds up nobody.
  static bool may_pass(const Judged& judged, std::uint32_t done, std::size_t which) {
    const unsigned thread = judged.commands[which].thread;
    const Access* load = as_load(judged.commands[which].command);
    std::vector<const Access*> stores;
    for (std::size_t i = 0; i < which; ++i) {
      if (((done >> i) & 1u) != 0 || judged.commands[i].thread != thread) continue;
      if (load == nullptr) return false;
      const Access* store = as_store(judged.commands[i].command);
      const Access* other = as_load(judged.commands[i].command);
      const bool stored = std::holds_alternative<Done>(judged.answers[i].observation);
      const auto meets = [&](const Access* access) {
        return std::any_of(stores.begin(), stores.end(),
                           [&](const Access* s) { return overlap(*s, *access); });
      };
      if (store != nullptr && stored && !overlap(*store, *load)) {
        stores.push_back(store);
      } else if (other == nullptr || !meets(other)) {
        return false;
      }
    }
    return true;
  }

  bool block(const Node& node, std::size_t item) {
    const Judged& judged = all_[item];
    if (std::popcount(node.done) == static_cast<int>(judged.commands.size())) {
      return from(node.state, item + 1);
    }
    const auto next = ready(judged, node.done);
    for (const std::size_t which : next) {
      if (steps_ > step_bound) return false;
      if (begins_to_log(node, judged, which)) {
        if (begin_to_log(node, item, which)) return true;
      } else if (step(node, item, next, which)) {
        return true;
      }
    }
    return false;
  }

  /// SLOT flags that turn logging on, and has not begun.
  static bool begins_to_log(const Node& node, const Judged& judged, std::size_t which) {
    const auto* flags = std::get_if<SlotFlags>(&judged.commands[which].command);
    if (flags == nullptr || ((node.begun >> which) & 1u) != 0) return false;
    const Slot* slot = node.state.slots.find(flags->id);
    return slot != nullptr && flags->log && !slot->log;
  }

  bool begin_to_log(const Node& node, std::size_t item, std::size_t which) {
    const Judged& judged = all_[item];
    Node next = node;
    if (!take(next, judged, which)) return false;
    next.done = node.done;
    next.begun |= 1u << which;
    next.state.beginning_to_log = std::get<SlotFlags>(judged.commands[which].command).id;
    return block(next, item);
  }

  /// The command takes its step, or its last one.
  bool step(const Node& node, std::size_t item, const std::vector<std::size_t>& ready,
            std::size_t which) {
    const Judged& judged = all_[item];
    const Command& command = judged.commands[which].command;
    Node before = node;
    others_walk(before, judged, ready, which);
    log_walks(before, which);
    if (((node.begun >> which) & 1u) != 0) {
      before.state.beginning_to_log.reset();
      before.done |= 1u << which;
      return block(before, item);
    }
    if (is_dirty(command) && any(node.collected)) {
      if (!collect(before, judged, which, remaining(node.collected))) return false;
      before.collected.clear();
      if (const auto* get = std::get_if<DirtyGet>(&command)) {
        if (before.state.configuration.dirty_log == DirtyLogMode::plain) {
          before.state.logs.at(get->id).all_protected(before.state.now);
        }
      }
      before.done |= 1u << which;
      return block(before, item);
    }
    Node after = before;
    const bool admitted = take(after, judged, which);
    if (admitted && block(after, item)) return true;
    if (first_pages_then(before, after, item, ready, which)) return true;
    // What the slot explains as it is, it explains as well when it is invalid.
    if (!admitted) return through_hidden(before, item, ready, which);
    return logged_late(before, item, ready, which);
  }

  /// A dirty-get or dirty-clear beside it took the pages that it logs before it did.
  bool first_pages_then(const Node& before, const Node& after, std::size_t item,
                        const std::vector<std::size_t>& ready, std::size_t which) {
    const Judged& judged = all_[item];
    for (const std::size_t other : ready) {
      if (other == which || !collects(before, judged, other)) continue;
      const unsigned id = slot_of(judged.commands[other].command);
      const auto log = after.state.logs.find(id);
      const DirtyLog& old = before.state.logs.at(id);
      if (log == after.state.logs.end() || log->second.must().size() != old.must().size()) continue;
      Pages pages(old.must().size());
      for (const auto& [slot, page] : after.state.logged) {
        if (slot == id) pages[page / 64] |= 1ull << (page % 64);
      }
      for (std::size_t i = 0; !before.collected.empty() && i < pages.size(); ++i) {
        pages[i] &= ~before.collected[i];
      }
      if (!any(pages)) continue;
      Node first = before;
      if (!collect(first, judged, other, pages)) continue;
      if (first.collected.empty()) first.collected.resize(pages.size());
      for (std::size_t i = 0; i < pages.size(); ++i) first.collected[i] |= pages[i];
      if (take(first, judged, which) && block(first, item)) return true;
    }
    return false;
  }

  /// It stored through write access that a write beside it has given back, and not
  /// logged yet: that write does, when it ends.
  bool logged_late(const Node& before, std::size_t item, const std::vector<std::size_t>& ready,
                   std::size_t which) {
    const Judged& judged = all_[item];
    if (as_store(judged.commands[which].command) == nullptr) return false;
    const bool beside = std::any_of(ready.begin(), ready.end(), [&](std::size_t other) {
      return judged.commands[other].thread != judged.commands[which].thread &&
             as_store(judged.commands[other].command) != nullptr;
    });
    if (!beside) return false;
    Node next = before;
    next.state.logs_late = true;
    const bool admitted = take(next, judged, which);
    next.state.logs_late = false;
    if (!admitted || next.state.logged.empty()) return false;
    next.state.use(loose(Looseness::logged_late));
    return block(next, item);
  }

  /// It met the slot that a delete or move beside it has made invalid.
  bool through_hidden(const Node& before, std::size_t item, const std::vector<std::size_t>& ready,
                      std::size_t which) {
    const Judged& judged = all_[item];
    for (const std::size_t other : ready) {
      const Command& command = judged.commands[other].command;
      const bool removes =
          std::holds_alternative<SlotDelete>(command) || std::holds_alternative<SlotMove>(command);
      if (other == which || !removes) continue;
      Node next = before;
      const auto request = next.state.request(command);
      const auto change = next.state.slots.consider(request).change;
      if (change != SlotChange::remove && change != SlotChange::move) continue;
      next.state.slots.hide(request.id);
      const bool admitted = take(next, judged, which);
      next.state.slots.hide(std::nullopt);
      if (admitted && block(next, item)) return true;
    }
    return false;
  }

  static bool is_dirty(const Command& command) {
    return std::holds_alternative<DirtyGet>(command) || std::holds_alternative<DirtyClear>(command);
  }
  static unsigned slot_of(const Command& command) {
    if (const auto* get = std::get_if<DirtyGet>(&command)) return get->id;
    return std::get<DirtyClear>(command).id;
  }

  /// The command goes through the pages of a dirty log, and succeeds.
  static bool collects(const Node& node, const Judged& judged, std::size_t which) {
    const Command& command = judged.commands[which].command;
    if (!is_dirty(command) || node.state.configuration.dirty_log == DirtyLogMode::ring) {
      return false;
    }
    const auto log = node.state.logs.find(slot_of(command));
    if (log == node.state.logs.end()) return false;
    const Observation& shown = judged.answers[which].observation;
    if (const auto* clear = std::get_if<DirtyClear>(&command)) {
      return std::holds_alternative<Done>(shown) &&
             log->second.clear_error(clear->first, clear->count) == 0;
    }
    const auto* bitmap = std::get_if<DirtyBitmap>(&shown);
    return bitmap != nullptr && bitmap->words.size() == log->second.must().size();
  }

  /// The dirty-get or dirty-clear goes through these pages now.
  bool collect(Node& node, const Judged& judged, std::size_t which, Pages pages) {
    if (++steps_ > step_bound) return false;
    const Command& command = judged.commands[which].command;
    if (const auto* get = std::get_if<DirtyGet>(&command)) {
      const auto& bitmap = std::get<DirtyBitmap>(judged.answers[which].observation);
      return node.state.judge_pages(*get, bitmap, pages).kind == Judgement::Kind::admitted;
    }
    const auto& clear = std::get<DirtyClear>(command);
    for (std::uint64_t page = 0; page < pages.size() * 64; ++page) {
      if (page < clear.first || page - clear.first >= clear.count) {
        pages[page / 64] &= ~(1ull << (page % 64));
      }
    }
    node.state.logs.at(clear.id).clear(pages);
    return true;
  }

  static Pages remaining(Pages pages) {
    for (std::uint64_t& word : pages) word = ~word;
    return pages;
  }

  /// The walks of accesses that have begun elsewhere may be over: what looks into memory
  /// or into the dirty log may meet what they left, and what changes an entry comes too
  /// late for them.
  static void others_walk(Node& node, const Judged& judged, const std::vector<std::size_t>& ready,
                          std::size_t which) {
    const Command& now = judged.commands[which].command;
    for (const std::size_t other : ready) {
      if (judged.commands[other].thread == judged.commands[which].thread) continue;
      const Command& command = judged.commands[other].command;
      for (const Gpa page : node.state.may_have_walked(command)) {
        const std::pair walk(other, page);
        if (std::ranges::find(node.walked, walk) == node.walked.end()) node.walked.push_back(walk);
      }
      if (changes_slots(now)) node.state.may_have_met_mmio(command, now);
      // A move changes slots twice: the access may come between.
      if (changes_slots(command)) node.state.may_have_met_mmio(now, command);
    }
  }
  static bool changes_slots(const Command& command) {
    return std::holds_alternative<SlotAdd>(command) ||
           std::holds_alternative<SlotDelete>(command) ||
           std::holds_alternative<SlotMove>(command) || std::holds_alternative<SlotFlags>(command);
  }

  /// Whatever it shows at last, a fault that it took before has logged its page by now:
  /// behind what has gone through the log meanwhile.
  static void log_walks(Node& node, std::size_t which) {
    for (const auto& [other, page] : node.walked) {
      if (other == which) node.state.log_map(page);
    }
  }

  std::span<const Judged> all_;
  std::optional<State> found_;
  std::optional<Judgement> open_;
  unsigned steps_ = 0;
};

}  // namespace

// A fault that finds no slot leaves an entry for MMIO behind, whatever the access finds when it
// is tried again. Until 6.12 retry_instruction() walks as for a write, whatever the access was:
// it takes the fault for one on a write-protected table where the address that was cached for
// MMIO is of older slots (mmio_info_in_cache()). The walk sets the dirty flag where a write would
// be allowed.
void Machine::State::may_have_met_mmio(const Command& command, const Command& change) {
  const auto* access = std::get_if<Access>(&command);
  if (access == nullptr || platform.tdp || configuration.paging == PagingMode::none) return;
  const Slot* gone = nullptr;
  if (const auto* removed = std::get_if<SlotDelete>(&change)) gone = slots.find(removed->id);
  if (const auto* moved = std::get_if<SlotMove>(&change)) gone = slots.find(moved->id);
  const auto all = candidates(*access);
  if (!all) return;
  std::vector<const Candidate*> walks;
  for (const Candidate& candidate : *all) {
    if (!candidate.completed) continue;
    const Translated& to = candidate.way.translation;
    const auto backing = slots.backing(to.page | (access->gva & (to.size - 1)));
    if (backing && backing->slot != gone) continue;
    note_mmio_leaf(candidate.way);
    if (to.rights.writable) walks.push_back(&candidate);
  }
  if (!walks.empty()) apply_possible_flags(walks, /*write=*/true);
}

std::vector<Gpa> Machine::State::may_have_walked(const Command& command) {
  if (const auto* set = std::get_if<EntrySet>(&command)) {
    const Gpa at = set->table + static_cast<Gpa>(set->index) * entry_size(configuration.paging);
    log_map(at);
    return {at};
  }
  const auto* access = std::get_if<Access>(&command);
  if (access == nullptr) return {};
  const auto all = candidates(*access);
  if (!all) return {};
  std::vector<Gpa> pages;
  std::vector<const Candidate*> walks;
  const bool write = access->kind == AccessKind::write;
  for (const Candidate& candidate : *all) {
    if (!candidate.completed) continue;
    walks.push_back(&candidate);
    const Translated& to = candidate.way.translation;
    const bool writable = to.rights.writable && candidate.way.maybe_dirty;
    if (platform.tdp || write || writable) pages.push_back(to.page | (access->gva & (to.size - 1)));
  }
  for (const Gpa page : pages) log_map(page);
  if (configuration.paging != PagingMode::none && !walks.empty()) {
    apply_possible_flags(walks, write);
  }
  return pages;
}

Machine::Machine(const Configuration& configuration, const Platform& platform)
    : state_(std::make_unique<State>(configuration, platform)) {}
Machine::~Machine() = default;
Machine::Machine(Machine&&) noexcept = default;
Machine& Machine::operator=(Machine&&) noexcept = default;

Judgement Machine::judge(const Command& command, const Observation& observation) {
  if (orders_) orders_->since.push_back({{{0, command}}, {{observation}}, /*block=*/false});
  auto judgement = state_->begin(command);
  if (!judgement) judgement = state_->conclude(command, observation);
  if (orders_ && judgement->kind == Judgement::Kind::refused) {
    return look_again(std::move(*judgement));
  }
  return std::move(*judgement);
}

Judgement Machine::judge(std::span<const ParallelCommand> commands,
                         std::span<const ParallelAnswer> answers) {
  Judged block{{commands.begin(), commands.end()}, {answers.begin(), answers.end()}, true};
  const bool first = orders_ == nullptr;
  if (first) orders_ = std::make_unique<Orders>(Orders{*state_, {}});
  orders_->since.push_back(std::move(block));
  if (!first) {
    Search search(std::span(orders_->since).last(1));
    if (auto found = search.run(*state_)) {
      *state_ = std::move(*found);
      return state_->admit();
    }
  }
  return look_again(
      state_->refuse("no order of its commands' steps explains what the block showed"));
}

Judgement Machine::look_again(Judgement refusal) {
  Search search(orders_->since);
  if (auto found = search.run(orders_->before)) {
    *state_ = std::move(*found);
    return state_->admit();
  }
  if (search.exhausted())
    return state_->out_of_bounds("more orders of a parallel block than are tried");
  if (search.open()) return *search.open();
  return refusal;
}

}  // namespace lockstep::spec
