// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/kernels/source.h"

#include <fmt/format.h>

namespace lockstep::hw::kernels {

Result<Source> plain_source(const Cache& cache, const Tree& tree, const Progress& progress) {
  (void)cache;
  (void)progress;
  if (tree.built) {
    return input_error(fmt::format(
        "{}: built in place; kbuild refuses such a tree: make mrproper there", tree.path.string()));
  }
  const auto key = tree.identity();
  return Source{tree, tree.path, key, key, {}, {}};
}

Result<Source> patched_source(const Cache&, const Tree&, const std::string&, const Progress&) {
  return machine_error("patches are not applied yet");
}

}  // namespace lockstep::hw::kernels
