// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/engine_factory.h"

#include <fmt/format.h>

#include "hw/kvm/engine.h"
#include "props/impl_engine.h"
#include "props/spec_engine.h"

namespace lockstep::props {

Result<std::unique_ptr<Engine>> make_engine(std::string_view name, std::uint64_t seed) {
  if (name == "spec") return std::make_unique<SpecEngine>(seed, machine_models());
  if (name == "impl") return make_impl_engine();
  if (name == "kvm") return hw::open_kvm_engine();
  return tl::unexpected(EngineError{unknown_engine(name).value_or("no such engine")});
}

}  // namespace lockstep::props
