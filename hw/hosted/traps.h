// SPDX-License-Identifier: GPL-2.0-or-later
/// Signals that kernel code in this process raises: WARN and BUG are ud2
/// instructions, user accesses may fault and go on at a fixup, anything else is
/// a finding.
#pragma once

#include <csignal>

namespace lockstep::hw::hosted {

class Host;
class Image;

class Traps {
 public:
  /// While it lives, signals of this thread belong to the image. The handlers
  /// are installed with the first one and stay; signals that belong to no image
  /// go to the handlers from before.
  class Entered {
   public:
    Entered(Host& host, Image& image);
    ~Entered();
    Entered(const Entered&) = delete;
    Entered& operator=(const Entered&) = delete;

   private:
    Host* outer_host_;
    Image* outer_image_;
  };

 private:
  static void install();
  static void handle(int number, siginfo_t* info, void* context);
  static bool handled(int number, const siginfo_t& info, ucontext_t& context);
};

}  // namespace lockstep::hw::hosted
