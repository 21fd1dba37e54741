#include "sq/base/placeholder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/error_message.h"

namespace sq {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

// As `git lfs pointer` prints it.
const std::string kPointer =
    "version https://git-lfs.github.com/spec/v1\n"
    "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n";

TEST(Placeholder, APointerNamesItselfAndTheWayOn) {
  EXPECT_THAT(PlaceholderText(kPointer), StartsWith("a git-lfs pointer, not the file itself"));
  EXPECT_THAT(PlaceholderText(kPointer), HasSubstr("git lfs pull"));
  EXPECT_EQ(test::MessageOf([] { CheckNoPlaceholder(kPointer, "m/model.safetensors"); }),
            "m/model.safetensors: " + PlaceholderText(kPointer));
}

TEST(Placeholder, PagesAndRefusalsAreKnown) {
  for (const char* page :
       {"<!DOCTYPE html>\n<html><head>", "<!doctype html><p>", "\n  <HTML lang=\"en\">", "<html>",
        "\xEF\xBB\xBF<!DOCTYPE HTML PUBLIC \"-//W3C//DTD HTML 4.01//EN\">"}) {
    EXPECT_THAT(PlaceholderText(page), StartsWith("an HTML page, not the file itself")) << page;
  }
  for (const char* refusal :
       {"Entry not found", "Invalid username or password.",
        "Access to model meta-llama/Llama-2-7b-hf is restricted and you are not in the authorized "
        "list. Visit https://huggingface.co/meta-llama/Llama-2-7b-hf to ask for access.",
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>AccessDenied</Code></Error>"}) {
    EXPECT_THAT(PlaceholderText(refusal), StartsWith("a server's refusal")) << refusal;
  }
}

TEST(Placeholder, OtherFilesAreThemselves) {
  const std::string after_a_while = std::string(400, 'x') + kPointer;
  for (const std::string& contents :
       {std::string(), std::string("{\"architectures\": []}"), std::string("PK\3\4"),
        std::string("version 1"), std::string("#version: 0.2\n"), std::string("<"),
        std::string("<s>"), std::string("<htmlish"), std::string("<?xml version=\"1.0\"?><net>"),
        after_a_while}) {
    EXPECT_EQ(PlaceholderText(contents), "") << contents;
    EXPECT_EQ(test::MessageOf([&] { CheckNoPlaceholder(contents, "a"); }), "");
  }
  // A text about it, longer than a pointer can be.
  EXPECT_EQ(PlaceholderText(kPointer + std::string(1024, '.')), "");
  EXPECT_EQ(PlaceholderText("Access to model trains is by the gate. " + std::string(500, '.')), "");
}

}  // namespace
}  // namespace sq
