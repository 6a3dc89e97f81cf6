// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/schedule/saved.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "spec/text_suggest.h"

namespace lockstep::props::schedule {
namespace {

constexpr unsigned page_width = 72;

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

/// The next word, which is taken from the text.
std::string_view word(std::string_view& text) {
  text = trimmed(text);
  const auto end = std::min(text.find_first_of(" \t"), text.size());
  const auto taken = text.substr(0, end);
  text = trimmed(text.substr(end));
  return taken;
}

std::optional<unsigned> number(std::string_view text, unsigned end) {
  unsigned value = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || rest != text.data() + text.size() || value >= end) return {};
  return value;
}

std::string suggest(std::string_view what, std::string_view wrong,
                    const std::vector<std::string_view>& valid) {
  const auto near = spec::text::nearest(wrong, valid);
  return fmt::format("no {} '{}'{}", what, wrong,
                     near.empty() ? "" : fmt::format("; did you mean '{}'?", near));
}

using Wrong = std::optional<std::string>;

class Parser {
 public:
  explicit Parser(std::span<const System> among) : among_(among) {}
  tl::expected<Saved, std::string> parse(std::string_view text) {
    unsigned line_number = 0;
    bool begun = false;
    while (!text.empty()) {
      ++line_number;
      const auto end = std::min(text.find('\n'), text.size());
      std::string_view line = trimmed(text.substr(0, end));
      text.remove_prefix(std::min(end + 1, text.size()));
      if (line.empty()) continue;
      Wrong wrong;
      if (line.front() == '#') {
        saved_.comments.emplace_back(trimmed(line.substr(1)));
      } else if (!begun) {
        if (line != saved_header) wrong = fmt::format("expected '{}'", saved_header);
        begun = true;
      } else {
        wrong = parse_line(line);
      }
      if (wrong) return tl::unexpected(fmt::format("line {}: {}", line_number, *wrong));
    }
    if (saved_.system == nullptr) return tl::unexpected(std::string("no line 'system NAME'"));
    if (saved_.threads.empty()) return tl::unexpected(std::string("no line 'thread 0: ...'"));
    for (const Turn& turn : saved_.turns) {
      if (turn.run >= saved_.threads.size() ||
          (turn.thread != main_thread && turn.thread >= saved_.threads.size())) {
        return tl::unexpected(fmt::format("'{}': there is no such thread", print(turn)));
      }
    }
    return std::move(saved_);
  }

 private:
  Wrong parse_line(std::string_view line) {
    const auto verb = word(line);
    if (verb == "system") return parse_system(line);
    // Whoever gave the systems has looked at it.
    if (verb == "engine") return {};
    if (verb == "expect") return parse_expect(line);
    if (saved_.system == nullptr) return "expected 'system NAME' first";
    if (verb == "defect") return parse_defect(line);
    if (verb == "thread") return parse_thread(line);
    if (verb == "at") return parse_turn(line);
    return suggest("keyword", verb, {"engine", "system", "defect", "thread", "at", "expect"});
  }

  Wrong parse_system(std::string_view name) {
    saved_.system = find_system(name, among_);
    if (saved_.system != nullptr) return {};
    std::vector<std::string_view> names;
    for (const auto& system : among_) names.push_back(system.name);
    return suggest("system", name, names);
  }

  Wrong parse_expect(std::string_view name) {
    const auto found = std::ranges::find(failure_names, name);
    if (found == failure_names.end()) {
      return suggest("failure", name, {failure_names.begin(), failure_names.end()});
    }
    saved_.expect = static_cast<FailureKind>(found - failure_names.begin());
    return {};
  }

  Wrong parse_defect(std::string_view name) {
    const auto defects = saved_.system->defects;
    const auto found = std::ranges::find(defects, name, &Defect::name);
    if (found == defects.end()) {
      std::vector<std::string_view> names;
      for (const auto& defect : defects) names.push_back(defect.name);
      return suggest("defect", name, names);
    }
    saved_.defect = static_cast<unsigned>(found - defects.begin());
    return {};
  }

  Wrong parse_thread(std::string_view line) {
    const auto colon = line.find(':');
    const auto id = number(trimmed(line.substr(0, colon)), most_threads);
    if (colon == std::string_view::npos || !id) {
      return fmt::format("expected 'thread N: COMMAND; COMMAND', N below {}", most_threads);
    }
    if (*id > saved_.threads.size()) return fmt::format("thread {} before thread {}", *id, *id - 1);
    if (*id == saved_.threads.size()) saved_.threads.emplace_back();
    line.remove_prefix(colon + 1);
    while (!trimmed(line).empty()) {
      const auto end = std::min(line.find(';'), line.size());
      if (auto wrong = parse_command(trimmed(line.substr(0, end)), saved_.threads[*id])) {
        return wrong;
      }
      line.remove_prefix(std::min(end + 1, line.size()));
    }
    return {};
  }

  Wrong parse_command(std::string_view text, std::vector<Command>& commands) {
    const auto name = word(text);
    const auto verbs = saved_.system->verbs;
    const auto found = std::ranges::find(verbs, name, &Verb::name);
    if (found == verbs.end()) {
      std::vector<std::string_view> names;
      for (const auto& verb : verbs) names.push_back(verb.name);
      return suggest("command", name, names);
    }
    Command command{.verb = static_cast<std::uint8_t>(found - verbs.begin())};
    if (found->end == 0) {
      if (!text.empty()) return fmt::format("'{}' has no number", name);
    } else {
      const auto value = number(text, found->end);
      if (!value) return fmt::format("'{}' wants a number below {}", name, found->end);
      command.number = static_cast<std::uint8_t>(*value);
    }
    commands.push_back(command);
    return {};
  }

  Wrong parse_turn(std::string_view line) {
    const char* const form = "expected 'at THREAD STEP #N run THREAD'";
    Turn turn;
    const auto who = word(line);
    if (who == "begin") {
      turn.thread = main_thread;
      turn.label = who;
    } else {
      const auto id = number(who, most_threads);
      if (!id) return form;
      turn.thread = *id;
      turn.label = word(line);
      if (turn.label != "end") {
        auto next = word(line);
        if (!next.empty() && next.front() != '#') {
          turn.label += ' ';
          turn.label += next;
          next = word(line);
        }
        const auto n = next.empty() ? std::nullopt : number(next.substr(1), 1'000'000);
        if (next.empty() || next.front() != '#' || !n || *n == 0) return form;
        turn.occurrence = *n;
      }
    }
    if (word(line) != "run") return form;
    const auto run = number(word(line), most_threads);
    if (!run || !line.empty()) return form;
    turn.run = *run;
    saved_.turns.push_back(std::move(turn));
    return {};
  }

  std::span<const System> among_;
  Saved saved_;
};

}  // namespace

std::string print(const Turn& turn) {
  if (turn.thread == main_thread) return fmt::format("at begin run {}", turn.run);
  if (turn.label == "end") return fmt::format("at {} end run {}", turn.thread, turn.run);
  return fmt::format("at {} {} #{} run {}", turn.thread, turn.label, turn.occurrence, turn.run);
}

std::string print(const Saved& saved) {
  std::string text = fmt::format("{}\n", saved_header);
  for (const auto& comment : saved.comments) text += fmt::format("# {}\n", comment);
  if (!saved.system->engine.empty()) text += fmt::format("engine {}\n", saved.system->engine);
  text += fmt::format("system {}\n", saved.system->name);
  if (saved.defect != no_defect) {
    text += fmt::format("defect {}\n", saved.system->defects[saved.defect].name);
  }
  for (std::size_t id = 0; id < saved.threads.size(); ++id) {
    const std::string head = fmt::format("thread {}:", id);
    std::string line = head;
    for (const Command command : saved.threads[id]) {
      const std::string one = print(*saved.system, command);
      if (line.size() + one.size() + 2 > page_width) {
        text += line + "\n";
        line = head;
      }
      line += (line.size() == head.size() ? " " : "; ") + one;
    }
    text += line + "\n";
  }
  for (const Turn& turn : saved.turns) text += print(turn) + "\n";
  if (saved.expect) text += fmt::format("expect {}\n", name(*saved.expect));
  return text;
}

tl::expected<Saved, std::string> parse_saved(std::string_view text, std::span<const System> among) {
  return Parser(among).parse(text);
}

std::string_view saved_engine(std::string_view text) {
  while (!text.empty()) {
    std::string_view line = trimmed(text.substr(0, std::min(text.find('\n'), text.size())));
    if (word(line) == "engine") return line;
    text.remove_prefix(std::min(text.find('\n'), text.size() - 1) + 1);
  }
  return {};
}

Replayed replay(Runner& runner, const Saved& saved, bool trace) {
  Replay scheduler(runner, saved.turns);
  scheduler.begin();
  runner.trace(trace);
  Replayed replayed{
      .outcome = runner.execute(
          scheduler, [&] { return saved.system->make(runner, saved.defect, saved.threads); }),
      .missed = {}};
  runner.trace(false);
  if (const Turn* missed = scheduler.missed()) replayed.missed = *missed;
  return replayed;
}

std::string columns(const Outcome& outcome, unsigned threads, unsigned width) {
  const unsigned column = (width - 2) / std::max(threads, 1u);
  std::string text;
  for (unsigned id = 0; id < threads; ++id) {
    const std::string head = fmt::format("thread {}", id);
    text += id + 1 == threads ? head : fmt::format("{:<{}}", head, column);
  }
  text = "  " + text + "\n";
  bool preempted = false;
  for (const TraceLine& line : outcome.trace) {
    if (&line == &outcome.trace.back() && outcome.failure) {
      text += fmt::format(">> {}\n", line.text);
      continue;
    }
    preempted |= line.preempted;
    if (line.label == "start" || line.thread == main_thread) continue;
    const bool within = line.step || line.text.starts_with(' ');
    const std::string shown = (within ? "  " : "") + line.text;
    text += fmt::format("{}{:{}}{}\n", preempted ? "> " : "  ", "", line.thread * column, shown);
    preempted = false;
  }
  return text;
}

}  // namespace lockstep::props::schedule
