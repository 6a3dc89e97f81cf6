// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/review/mail.h"

#include <gtest/gtest.h>

#include "jobs/review/decode.h"

namespace lockstep::jobs::review {
namespace {

TEST(Decode, QuotedPrintable) {
  EXPECT_EQ(decode_quoted_printable("+\tif (a =3D=3D b)=20\nlong =\nline\n"),
            "+\tif (a == b) \nlong line\n");
  // No code: stays.
  EXPECT_EQ(decode_quoted_printable("a =zz b="), "a =zz b");
}

TEST(Decode, Base64) {
  EXPECT_EQ(decode_base64("LS0tIGEv\nZg=="), "--- a/f");
  EXPECT_EQ(decode_base64("!!"), "");
}

TEST(Decode, WordsOfHeaders) {
  EXPECT_EQ(decode_words("=?UTF-8?Q?=5BPATCH=5D_a?= =?utf-8?B?Yg==?= c"), "[PATCH] ab c");
  EXPECT_EQ(decode_words("=?iso-8859-1?Q?J=FCrgen?= x"), "J\xc3\xbcrgen x");
  EXPECT_EQ(decode_words("a =? b"), "a =? b");
  EXPECT_EQ(decode_words("=?q?"), "=?q?");
  EXPECT_EQ(decode_words("=?u?Q?="), "=?u?Q?=");
}

TEST(Mail, HeadersAreUnfoldedAndDecoded) {
  const auto mail = parse_mail("Subject: [PATCH] KVM:\n x86\nFrom: =?utf-8?q?A?= <a@b>\n\nbody\n");
  EXPECT_EQ(mail.header("subject"), "[PATCH] KVM: x86");
  EXPECT_EQ(mail.header("from"), "A <a@b>");
  EXPECT_EQ(mail.body, "body\n");
}

TEST(Mail, EncodedBodies) {
  const auto mail = parse_mail(
      "Subject: x\nContent-Type: text/plain; charset=\"utf-8\"\n"
      "Content-Transfer-Encoding: base64\n\nLS0tIGEvZg==\n");
  EXPECT_EQ(mail.body, "--- a/f\n");
}

TEST(Mail, PartsThatMayHoldAPatchAreKept) {
  const auto mail = parse_mail(
      "Subject: x\nContent-Type: multipart/mixed; boundary=\"B\"\n\npreamble\n--B\n"
      "Content-Type: text/plain\n\nhello\n--B\nContent-Type: text/html\n\n<p>\n--B\n"
      "Content-Type: text/x-patch\nContent-Transfer-Encoding: quoted-printable\n\na=3Db\n--B--\n"
      "epilogue\n");
  EXPECT_EQ(mail.body, "hello\na=b\n");
}

TEST(Mail, PartsWithinPartsHaveAnEnd) {
  std::string text = "Subject: x\n";
  for (int i = 0; i < 100; ++i) text += "Content-Type: multipart/mixed; boundary=B\n\n--B\n";
  EXPECT_EQ(parse_mail(text).body, "");
}

TEST(Mail, FlowedIsSaid) {
  const auto mail =
      parse_mail("Subject: x\nContent-Type: text/plain; format=flowed; delsp=yes\n\nb\n");
  EXPECT_TRUE(mail.flowed);
  EXPECT_TRUE(mail.delete_space);
}

TEST(Mail, ABareDiffIsAllBody) {
  const std::string diff = "--- a/x.c\n+++ b/x.c\n";
  const auto mail = parse_mail(diff);
  EXPECT_TRUE(mail.headers.empty());
  EXPECT_EQ(mail.body, diff);
}

TEST(Mail, APageOfAnArchiveBeginsWithItsSubject) {
  const auto mail = parse_mail("Re: [Patch v3 1/9] KVM: x\nFrom: A\nOn Wed B wrote:\n> text\n");
  EXPECT_EQ(mail.header("subject"), "Re: [Patch v3 1/9] KVM: x");
  EXPECT_EQ(mail.header("from"), "A");
  EXPECT_EQ(mail.body, "On Wed B wrote:\n> text\n");
}

TEST(Mailbox, IsSplitAtItsSeparators) {
  const auto mails = split_mailbox(
      "From 0123456789 Mon Sep 17 00:00:00 2001\nSubject: a\n\nFrom here on it is text\n\n"
      "From x@y Mon Sep 17 00:00:00 2001\nSubject: b\n\nb\n");
  ASSERT_EQ(mails.size(), 2u);
  EXPECT_NE(mails[0].find("text"), std::string_view::npos);
  EXPECT_EQ(split_mailbox("Subject: a\n\nb\n").size(), 1u);
  EXPECT_EQ(split_mailbox("").size(), 1u);
}

}  // namespace
}  // namespace lockstep::jobs::review
