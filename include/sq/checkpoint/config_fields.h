// The fields of config.json under one rule: none is passed over unseen. What nobody reads is an
// error that names it, unless it is known not to touch what a model computes.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace sq {

// Reads fields of one JSON object, and knows which it was asked for. Errors are sq::Error that
// begin with `where`: a file, or a file and the object's name in it. The object must outlive this.
class ConfigFields {
 public:
  // Throws sq::Error when `object` is none.
  ConfigFields(const nlohmann::json& object, std::string where);

  // The field's value, or null where it is absent or null. Counts as read, as in all that follow.
  const nlohmann::json* Find(const std::string& name);
  // The field is there, be it null. Not a reading.
  bool Has(const std::string& name) const;
  // Fields that someone else reads.
  void MarkRead(std::initializer_list<const char*> names);

  // Absent or null: `fallback`, and an error where there is none.
  int64_t Int(const std::string& name, int64_t min, int64_t max,
              std::optional<int64_t> fallback = std::nullopt);
  double PositiveDouble(const std::string& name, std::optional<double> fallback = std::nullopt);
  std::string String(const std::string& name,
                     const std::optional<std::string>& fallback = std::nullopt);
  // Absent: `fallback`; null: false, as Python takes it.
  bool Bool(const std::string& name, bool fallback);
  // One id, a list of them, or none: absent, null or -1, which is left out of a list too.
  std::vector<int> TokenIds(const std::string& name);

  // For a field that changes the computation in a way that is not supported: throws sq::Error
  // unless it is absent or one of `values`, of which the first is named. Null is one of them where
  // it stands among them.
  void Fixed(const std::string& name, const std::vector<nlohmann::json>& values);

  // Throws sq::Error naming every field that nobody has read so far and that is not null, false,
  // an empty string, list or object, or one of `harmless`. `path` leads to this object from the
  // whole file, "" or "quantization_config.": what --ignore-config-field wants before a name.
  void CheckRest(const std::set<std::string>& harmless, const std::string& path = "") const;

  const std::string& where() const { return where_; }

 private:
  const nlohmann::json& object_;
  std::string where_;
  std::set<std::string> read_;
};

// Fields of config.json without effect on what a model computes in evaluation: origin and
// versions, training, generation, what else a run returns, other tasks' heads, marks of tools.
const std::set<std::string>& HarmlessFields();

// Takes the member `name` out of `object`; in "a.b", b of the object a. Nothing to do where it is
// not there.
void EraseField(nlohmann::json* object, const std::string& name);

}  // namespace sq
