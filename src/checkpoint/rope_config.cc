#include "sq/checkpoint/rope_config.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>

#include "sq/base/error.h"
#include "sq/base/json.h"

namespace sq {
namespace {

using Json = nlohmann::json;

constexpr char kOriginal[] = "original_max_position_embeddings";

bool Present(const Json& json, const std::string& key) {
  const auto found = json.find(key);
  return found != json.end() && !found->is_null();
}

void CheckPositive(double value, const std::string& key, const std::string& where) {
  SQ_CHECK(value > 0 && value < 1e30, where, ": \"", key, "\": expected a positive number, found ",
           value);
}

double PositiveDouble(const Json& json, const std::string& key, const std::string& where,
                      std::optional<double> fallback = std::nullopt) {
  const double value = JsonDouble(json, key, where, fallback);
  CheckPositive(value, key, where);
  return value;
}

// A rope type, and which fields it has besides those of all types.
struct Type {
  const char* name;
  Rope::Scaling scaling;
  std::vector<std::string> fields;
};

const std::vector<Type>& Types() {
  static const std::vector<Type> types = {
      {"default", Rope::Scaling::kNone, {}},
      {"linear", Rope::Scaling::kLinear, {"factor"}},
      {"dynamic", Rope::Scaling::kDynamic, {"factor"}},
      {"llama3",
       Rope::Scaling::kLlama3,
       {"factor", "low_freq_factor", "high_freq_factor", kOriginal}},
      {"yarn",
       Rope::Scaling::kYarn,
       {"factor", kOriginal, "attention_factor", "beta_fast", "beta_slow", "mscale",
        "mscale_all_dim", "truncate"}},
      {"longrope",
       Rope::Scaling::kLongRope,
       {"factor", kOriginal, "attention_factor", "short_factor", "long_factor"}},
  };
  return types;
}

// One object of the two that may hold the fields, and what it is read with.
struct Source {
  const Json& fields;
  const Json& config;
  int64_t max_positions, head_dim;
  std::string where;  // the file and the object's name, for errors
};

// The type's name under either key; transformers takes rope_type where both are there.
const Type& FindType(const Source& source) {
  const std::string type = JsonString(source.fields, "type", source.where, "default");
  const std::string name = JsonString(source.fields, "rope_type", source.where, type);
  SQ_CHECK(!Present(source.fields, "type") || name == type, source.where, ": \"rope_type\" is ",
           Quoted(name), ", but \"type\" is ", Quoted(type));
  std::string known;
  for (const Type& row : Types()) {
    if (name == row.name) return row;
    known += (known.empty() ? "" : ", ") + std::string(row.name);
  }
  throw Error(StrCat(source.where, ": rope type not supported: expected one of ", known, ", found ",
                     Quoted(name)));
}

// Whether a field that the type does not have says nothing: fields of transformers' that are off,
// and those of the code that YaRN was published with where they have no effect.
bool Neutral(const std::string& key, const Json& value, int64_t max_positions) {
  if (value.is_null() || value == false || value.empty()) return true;
  if (key == "partial_rotary_factor" || key == "attn_factor" || key == "extrapolation_factor") {
    return value == 1;
  }
  return key == "finetuned" || (key == kOriginal && value == max_positions);
}

void CheckFields(const Source& source, const Type& type) {
  for (const auto& [key, value] : source.fields.items()) {
    if (key == "type" || key == "rope_type" || key == "rope_theta") continue;
    const bool known = std::find(type.fields.begin(), type.fields.end(), key) != type.fields.end();
    SQ_CHECK(known || Neutral(key, value, source.max_positions), source.where, ": ", Quoted(key),
             ": not supported: expected fields of rope type ", type.name, " alone, found ",
             value.dump().substr(0, 80));
  }
}

// transformers moves a value of config.json's own into the object, over one that is there.
double OriginalPositions(const Source& source) {
  const double fallback = static_cast<double>(source.max_positions);
  const bool outside = Present(source.config, kOriginal);
  return PositiveDouble(outside ? source.config : source.fields, kOriginal, source.where, fallback);
}

// How much longer than the original context the model's is: what `factor` is where it is absent.
double ContextRatio(const Source& source, const Rope& rope) {
  return static_cast<double>(source.max_positions) / rope.original_max_positions;
}

void ParseLlama3(const Source& source, Rope* rope) {
  rope->factor = PositiveDouble(source.fields, "factor", source.where);
  rope->low_freq_factor = PositiveDouble(source.fields, "low_freq_factor", source.where);
  rope->high_freq_factor = PositiveDouble(source.fields, "high_freq_factor", source.where);
  rope->original_max_positions = OriginalPositions(source);
  SQ_CHECK(rope->low_freq_factor < rope->high_freq_factor, source.where,
           ": expected low_freq_factor below high_freq_factor");
}

void ParseDynamic(const Source& source, Rope* rope) {
  rope->factor = PositiveDouble(source.fields, "factor", source.where);
  rope->max_positions = source.max_positions;
  SQ_CHECK(source.head_dim > 2, source.where, ": rope type dynamic: expected a head_dim above 2");
}

// A number that counts as absent where it is 0.
double NonZero(const Source& source, const std::string& key, double fallback) {
  const double value = JsonDouble(source.fields, key, source.where, 0);
  if (value == 0) return fallback;
  CheckPositive(value, key, source.where);
  return value;
}

void ParseYarn(const Source& source, Rope* rope) {
  rope->original_max_positions = OriginalPositions(source);
  rope->factor = PositiveDouble(source.fields, "factor", source.where, ContextRatio(source, *rope));
  rope->beta_fast = NonZero(source, "beta_fast", 32);
  rope->beta_slow = NonZero(source, "beta_slow", 1);
  // Absent is true; null, in transformers, is false.
  rope->truncate = !source.fields.contains("truncate") ||
                   JsonBool(source.fields, "truncate", source.where, false);
  SQ_CHECK(rope->theta > 1, source.where, ": rope type yarn: expected a rope_theta above 1, found ",
           rope->theta);
  const auto temperature = [&](double scale) {
    return rope->factor <= 1 ? 1.0 : 0.1 * scale * std::log(rope->factor) + 1.0;
  };
  const double mscale = NonZero(source, "mscale", 0);
  const double mscale_all_dim = NonZero(source, "mscale_all_dim", 0);
  const bool both = mscale != 0 && mscale_all_dim != 0;
  rope->attention_factor =
      PositiveDouble(source.fields, "attention_factor", source.where,
                     both ? temperature(mscale) / temperature(mscale_all_dim) : temperature(1));
}

std::vector<double> Factors(const Source& source, const std::string& key) {
  const size_t pairs = static_cast<size_t>(source.head_dim / 2);
  const Json& list = JsonMember(source.fields, key, source.where);
  SQ_CHECK(list.is_array() && list.size() == pairs, source.where, ": \"", key,
           "\": expected a list of ", pairs, " numbers, found ",
           list.is_array() ? StrCat(list.size(), " of them") : JsonTypeName(list));
  std::vector<double> factors;
  for (const Json& factor : list) {
    SQ_CHECK(factor.is_number(), source.where, ": \"", key, "\": expected numbers, found ",
             JsonTypeName(factor));
    factors.push_back(factor.get<double>());
    CheckPositive(factors.back(), key, source.where);
  }
  return factors;
}

void ParseLongRope(const Source& source, Rope* rope) {
  rope->original_max_positions = OriginalPositions(source);
  rope->short_factors = Factors(source, "short_factor");
  rope->long_factors = Factors(source, "long_factor");
  rope->factor = PositiveDouble(source.fields, "factor", source.where, ContextRatio(source, *rope));
  SQ_CHECK(rope->original_max_positions > 1, source.where, ": \"", kOriginal,
           "\": expected a number above 1, found ", rope->original_max_positions);
  const double longer = std::log(rope->factor) / std::log(rope->original_max_positions);
  rope->attention_factor = PositiveDouble(source.fields, "attention_factor", source.where,
                                          rope->factor <= 1 ? 1.0 : std::sqrt(1 + longer));
}

// With both objects there transformers passes over all of rope_parameters. That is what who adds
// rope_scaling to a file wants of the type, but hardly of a theta.
void CheckTheta(const Source& source, double theta, const std::string& path) {
  if (!Present(source.config, "rope_parameters")) return;
  const std::string where = path + ": \"rope_parameters\"";
  const double other = JsonDouble(source.config["rope_parameters"], "rope_theta", where, theta);
  SQ_CHECK(
      other == theta, where, ": \"rope_theta\": expected ", theta,
      ", which counts with rope_scaling beside it (or give rope_theta in rope_scaling), found ",
      other);
}

}  // namespace

Rope ParseRope(const Json& config, int64_t max_positions, int64_t head_dim,
               const std::string& path) {
  const bool scaling = Present(config, "rope_scaling") && !config["rope_scaling"].empty();
  const std::string key = scaling ? "rope_scaling" : "rope_parameters";
  Rope rope;
  rope.theta = PositiveDouble(config, "rope_theta", path, 10000.0);
  if (!Present(config, key)) return rope;
  const Source source{config[key], config, max_positions, head_dim, path + ": \"" + key + "\""};
  rope.theta = PositiveDouble(source.fields, "rope_theta", source.where, rope.theta);
  if (scaling) CheckTheta(source, rope.theta, path);
  const Type& type = FindType(source);
  CheckFields(source, type);
  rope.scaling = type.scaling;
  switch (rope.scaling) {
    case Rope::Scaling::kNone: break;
    case Rope::Scaling::kLinear:
      rope.factor = PositiveDouble(source.fields, "factor", source.where);
      break;
    case Rope::Scaling::kLlama3: ParseLlama3(source, &rope); break;
    case Rope::Scaling::kDynamic: ParseDynamic(source, &rope); break;
    case Rope::Scaling::kYarn: ParseYarn(source, &rope); break;
    case Rope::Scaling::kLongRope: ParseLongRope(source, &rope); break;
  }
  return rope;
}

}  // namespace sq
