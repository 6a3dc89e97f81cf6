// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include <iterator>

#include "spec/program.h"
#include "spec/text_encoding.h"
#include "spec/text_names.h"

namespace lockstep {

namespace {

namespace text = spec::text;

/// Bytes of one piece of a long string; pieces stand side by side.
constexpr std::size_t string_piece = 48;

class ObservationPrinter {
 public:
  explicit ObservationPrinter(std::string& out) : out_(out) {}

  void operator()(const Done&) { out_ += "ok"; }
  void operator()(const Value& o) { put("value 0x{:x}", o.value); }

  void operator()(const PageFault& o) {
    out_ += (o.code & fault::present) != 0 ? "#PF present" : "#PF not-present";
    std::uint32_t rest = o.code & ~fault::present;
    for (const auto& flag : text::fault_names) {
      if ((o.code & flag.value) != 0) put(" {}", flag.word);
      rest &= ~flag.value;
    }
    if (rest != 0) put(" bits=0x{:x}", rest);
    put(" 0x{:x}", o.address);
  }

  void operator()(const Exception& o) {
    if (o.vector == 13) {
      put("#GP 0x{:x}", o.code);
    } else if (o.vector == 6 && o.code == 0) {
      out_ += "#UD";
    } else {
      put("exception {} 0x{:x}", o.vector, o.code);
    }
  }

  void operator()(const Mmio& o) {
    put("mmio {} gpa=0x{:x} size={}", o.write ? "write" : "read", o.gpa, o.size);
    if (o.write || o.value != 0) put(" value=0x{:x}", o.value);
  }

  void operator()(const Errno& o) {
    const std::string_view word = text::word_of(text::errno_names, o.number);
    if (word.empty()) {
      put("errno {}", o.number);
    } else {
      put("errno {}", word);
    }
  }

  void operator()(const DirtyBitmap& o) {
    put("dirty pages=0x{:x} ", o.pages);
    pages(o.words);
  }

  void operator()(const DirtyPages& o) {
    out_ += "ring";
    if (o.slots.empty()) out_ += " empty";
    for (const DirtyPages::Slot& slot : o.slots) {
      put(" slot {} ", slot.id);
      pages(slot.words);
    }
  }

  void operator()(const Translation& o) {
    if (o.gpa) {
      put("gpa 0x{:x}", *o.gpa);
    } else {
      out_ += "gpa invalid";
    }
  }

  void operator()(const InternalError& o) { put("internal-error {}", o.suberror); }
  void operator()(const Livelock& o) { put("livelock {}", o.faults); }

  void operator()(const Unexpected& o) {
    out_ += "unexpected \"";
    std::size_t piece = 0;
    for (const char byte : o.what) {
      if (piece >= string_piece) {
        out_ += "\" \"";
        piece = 0;
      }
      const std::size_t before = out_.size();
      text::append_escaped(out_, static_cast<unsigned char>(byte));
      piece += out_.size() - before;
    }
    out_ += '"';
  }

 private:
  template <typename... Args>
  void put(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(out_), format, std::forward<Args>(args)...);
  }

  /// The bits of a bitmap, as pages and ranges of pages.
  void pages(const std::vector<std::uint64_t>& words) {
    out_ += '{';
    const std::uint64_t bits = words.size() * 64;
    const auto set = [&words](std::uint64_t i) { return ((words[i / 64] >> (i % 64)) & 1u) != 0; };
    bool first = true;
    for (std::uint64_t i = 0; i < bits;) {
      if (words[i / 64] == 0) {
        i += 64;
        continue;
      }
      if (!set(i)) {
        ++i;
        continue;
      }
      std::uint64_t last = i;
      while (last + 1 < bits && set(last + 1)) ++last;
      put("{}0x{:x}", first ? "" : " ", i);
      if (last != i) put("-0x{:x}", last);
      first = false;
      i = last + 1;
    }
    out_ += '}';
  }

  std::string& out_;
};

}  // namespace

std::string print(const Observation& observation) {
  std::string out;
  std::visit(ObservationPrinter(out), observation);
  return out;
}

}  // namespace lockstep
