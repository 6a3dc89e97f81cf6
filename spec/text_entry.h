// SPDX-License-Identifier: GPL-2.0-or-later
/// Page-table entries as text: `0x2000 rwxu a d g ps pwt pcd pk=3 bits=0x200`.
#pragma once

#include <cstdint>
#include <string>

#include "spec/text_cursor.h"
#include "spec/vocabulary/paging.h"

namespace lockstep::spec::text {

/// Four characters for present, writable, executable (NX clear), user; the
/// letter grants, '-' withholds. 32-bit paging has no NX: always x.
bool parse_rights(Cursor& cursor, PagingMode mode, std::uint64_t& bits);

/// One of the words behind the rights; false if none stands here.
bool parse_entry_option(Cursor& cursor, Options& options, PagingMode mode, std::uint64_t& bits);

/// The address field, then rights and options. A lone 0 is the cleared entry.
bool parse_entry(Cursor& cursor, PagingMode mode, std::uint64_t& value);

void print_rights(std::string& out, PagingMode mode, std::uint64_t bits);
/// Words for every bit but those of rights and address field, each after a space.
void print_entry_options(std::string& out, PagingMode mode, std::uint64_t bits);
void print_entry(std::string& out, PagingMode mode, std::uint64_t value);

}  // namespace lockstep::spec::text
