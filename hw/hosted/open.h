// SPDX-License-Identifier: GPL-2.0-or-later
/// Hosted engines by their command-line names: "hosted:6.1", "hosted:PATH",
/// "hosted-asan:6.12".
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "spec/engine.h"
#include "spec/kvm/view.h"

namespace lockstep::hw {

/// What the name of a hosted engine asks for.
struct HostedName {
  std::string flavour;  ///< "release", "asan" ...
  std::string kernel;   ///< a version, or a path: of a kernel tree or of an image
  bool is_path = false;
  bool operator==(const HostedName&) const = default;
};

/// None if it is not the name of a hosted engine.
std::optional<HostedName> parse_hosted_name(std::string_view name);

/// Why a name that begins with "hosted" is no engine's, with an example of one;
/// none if it is.
std::optional<std::string> bad_hosted_name(std::string_view name);

namespace hosted {
class Coverage;
}

/// An engine for one thread that runs the image. Its name is `name`. What an image
/// of the flavour `coverage` runs is counted in `coverage`, if given; not owned.
Result<std::unique_ptr<Engine>> open_hosted_engine(const std::filesystem::path& image,
                                                   std::string name,
                                                   hosted::Coverage* coverage = nullptr);

/// The inside of the engine's VM, between begin() and end(); none if it is no
/// hosted engine.
std::optional<Result<spec::View>> hosted_view(Engine& engine);

}  // namespace lockstep::hw
