#include "sq/checkpoint/packed_checkpoint.h"

#include <algorithm>
#include <cstring>

#include "sq/base/error.h"
#include "sq/checkpoint/mapped_file.h"
#include "sq/packed/bit_pack.h"

namespace sq {
namespace {

template <typename T>
TensorView View(const std::string& name, DType dtype, const Shape& shape,
                const std::vector<T>& values) {
  return {name, dtype, shape, values.data(), static_cast<int64_t>(values.size() * sizeof(T))};
}

constexpr char kSparseCount[] = "sparse_threshold.";
constexpr char kStartRows[] = ".startrows";

bool EndsWith(const std::string& text, const std::string& end) {
  return text.size() > end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

// log2 of the lookup table's width; 0 when its shape is not [out_features, 4, 8 or 16].
int TableBits(const FileTensor& table, int64_t out_features) {
  if (table.shape.size() != 2 || table.shape[0] != out_features) return 0;
  return table.shape[1] == 4 ? 2 : table.shape[1] == 8 ? 3 : table.shape[1] == 16 ? 4 : 0;
}

bool IsInteger(DType dtype) { return dtype == DType::kI32 || dtype == DType::kI64; }

// The number of elements of a vector, or -1.
int64_t Length(const FileTensor& tensor) { return tensor.shape.size() == 1 ? tensor.shape[0] : -1; }

// One layer's tensors under check.
class LayerCheck {
 public:
  LayerCheck(const TensorStore& store, const std::string& name, ProblemList* problems)
      : store_(store), name_(name), problems_(problems) {}

  const FileTensor* Find(const std::string& part) const { return store_.Find(name_ + part); }

  const FileTensor* Need(const std::string& part) const {
    const FileTensor* tensor = Find(part);
    if (tensor == nullptr) problems_->Add("tensor " + name_ + part + " is missing");
    return tensor;
  }

  // All of these or none; whether they are there.
  bool Together(const std::vector<std::string>& parts) const {
    const bool any = std::any_of(parts.begin(), parts.end(),
                                 [&](const std::string& part) { return Find(part) != nullptr; });
    if (!any) return false;
    bool all = true;
    for (const std::string& part : parts) all = Need(part) != nullptr && all;
    return all;
  }

  void Shape(const FileTensor& tensor, const std::string& expected, bool good) const {
    if (!good) {
      problems_->Add(StrCat("tensor ", tensor.name, ": expected shape ", expected, ", found ",
                            ShapeText(tensor.shape)));
    }
  }
  void Shape(const FileTensor& tensor, const sq::Shape& expected) const {
    Shape(tensor, ShapeText(expected), tensor.shape == expected);
  }
  void Floats(const FileTensor& tensor) const { Type(tensor, kFloatTypes, IsFloat(tensor.dtype)); }
  void Integers(const FileTensor& tensor) const {
    Type(tensor, "I32 or I64", IsInteger(tensor.dtype));
  }

 private:
  void Type(const FileTensor& tensor, const char* expected, bool good) const {
    if (!good) {
      problems_->Add(StrCat("tensor ", tensor.name, ": expected type ", expected, ", found ",
                            DTypeName(tensor.dtype)));
    }
  }

  const TensorStore& store_;
  const std::string& name_;
  ProblemList* problems_;
};

Csr ReadOutliers(const TensorStore& store, const std::string& name) {
  const FileTensor* rows = store.Find(name + ".rows");
  if (rows == nullptr) return {};
  return {ReadIntegers(*rows), ReadIntegers(store.Get(name + ".cols")),
          ReadFloats(store.Get(name + ".vals"))};
}

// full_rows [in, count] and full_row_indices as entries of the sparse part.
std::vector<CsrEntry> ReadFullRows(const TensorStore& store, const std::string& name,
                                   int64_t out_features) {
  const FileTensor* full_rows = store.Find(name + ".full_rows");
  if (full_rows == nullptr) return {};
  const FileTensor& indices = store.Get(name + ".full_row_indices");
  const std::vector<int32_t> rows = ReadIntegers(indices);
  for (const int32_t row : rows) {
    SQ_CHECK(row >= 0 && row < out_features, indices.Where(), ": row ", row, " outside [0, ",
             out_features, ")");
  }
  const std::vector<float> values = ReadFloats(*full_rows);
  std::vector<CsrEntry> entries;
  for (size_t k = 0; k < values.size(); ++k) {
    if (values[k] == 0) continue;
    entries.push_back({rows[k % rows.size()], static_cast<int32_t>(k / rows.size()), values[k]});
  }
  return entries;
}

}  // namespace

bool HasPackedLayer(const TensorStore& store, const std::string& name) {
  return store.Find(name + ".qweight") != nullptr;
}

void CheckIsPacked(const TensorStore& store, const std::string& name, const std::string& where) {
  SQ_CHECK(HasPackedLayer(store, name), where, ": is not quantized: tensor ", name,
           ".qweight is missing");
}

std::vector<std::string> PackedLayerNames(const TensorStore& store) {
  const std::string suffix = ".qweight";
  std::vector<std::string> layers;
  for (const std::string& name : store.Names()) {
    if (EndsWith(name, suffix)) layers.push_back(name.substr(0, name.size() - suffix.size()));
  }
  return layers;
}

PackedSummary SummarizePackedLayer(const TensorStore& store, const std::string& name) {
  const FileTensor& qweight = store.Get(name + ".qweight");
  const FileTensor& table = store.Get(name + ".lookup_table");
  SQ_CHECK(qweight.shape.size() == 2 && table.shape.size() == 2, qweight.Where(),
           ": expected a matrix, found shape ", ShapeText(qweight.shape));
  PackedSummary summary;
  summary.bits = TableBits(table, table.shape[0]);
  SQ_CHECK(summary.bits > 0 && qweight.shape[0] % summary.bits == 0, qweight.Where(), ": shape ",
           ShapeText(qweight.shape), " does not go with a lookup table of shape ",
           ShapeText(table.shape));
  summary.out_features = qweight.shape[1];
  summary.in_features = qweight.shape[0] / summary.bits * kPackGroup;
  summary.bytes = qweight.bytes + table.bytes;
  for (const char* part : {".rows", ".cols", ".vals"}) {
    if (const FileTensor* tensor = store.Find(name + part)) summary.bytes += tensor->bytes;
  }
  if (const FileTensor* vals = store.Find(name + ".vals")) {
    summary.outliers = vals->bytes / DTypeBytes(vals->dtype);
  }
  return summary;
}

PackedLayer ReadPackedLayer(const TensorStore& store, const std::string& name) {
  const PackedSummary summary = SummarizePackedLayer(store, name);
  return ReadPackedLayer(store, name, summary.out_features, summary.in_features);
}

int CheckPackedTensors(const TensorStore& store, const std::string& name, int64_t out_features,
                       int64_t in_features, ProblemList* problems) {
  const LayerCheck check(store, name, problems);
  const FileTensor* table = check.Need(".lookup_table");
  const FileTensor* qweight = check.Need(".qweight");
  int bits = 0;
  if (table != nullptr) {
    bits = TableBits(*table, out_features);
    check.Shape(*table, StrCat("[", out_features, ", 4, 8 or 16]"), bits > 0);
    check.Floats(*table);
  }
  if (qweight != nullptr) {
    if (in_features % kPackGroup != 0) {
      problems->Add(StrCat("tensor ", qweight->name, ": expected a multiple of ", kPackGroup,
                           " inputs, found ", in_features));
    } else if (bits > 0) {
      check.Shape(*qweight, {in_features / kPackGroup * bits, out_features});
    }
    check.Integers(*qweight);
  }
  if (check.Together({".rows", ".cols", ".vals"})) {
    const FileTensor &rows = *check.Find(".rows"), &cols = *check.Find(".cols"),
                     &vals = *check.Find(".vals");
    check.Shape(rows, {out_features + 1});
    check.Shape(cols, "[outliers]", Length(cols) >= 0);
    if (Length(cols) >= 0) check.Shape(vals, cols.shape);
    check.Integers(rows);
    check.Integers(cols);
    check.Floats(vals);
  }
  if (check.Together({".full_rows", ".full_row_indices"})) {
    const FileTensor &full_rows = *check.Find(".full_rows"),
                     &indices = *check.Find(".full_row_indices");
    check.Shape(indices, "[rows]", Length(indices) >= 0);
    if (Length(indices) >= 0) check.Shape(full_rows, {in_features, Length(indices)});
    check.Floats(full_rows);
    check.Integers(indices);
  }
  if (const FileTensor* bias = check.Find(".bias")) {
    check.Shape(*bias, {out_features});
    check.Floats(*bias);
  }
  return bits;
}

PackedLayer ReadPackedLayer(const TensorStore& store, const std::string& name, int64_t out_features,
                            int64_t in_features) {
  ProblemList problems;
  PackedLayer layer;
  layer.bits = CheckPackedTensors(store, name, out_features, in_features, &problems);
  const FileTensor* qweight = store.Find(name + ".qweight");
  const std::string path = qweight != nullptr ? qweight->file->path() : store.path();
  problems.Check(path);
  const std::string where = path + ": layer " + name;
  layer.out_features = out_features;
  layer.in_features = in_features;
  const std::vector<int32_t> words = ReadIntegers(*qweight);
  layer.qweight.assign(words.begin(), words.end());
  layer.lookup_table = ReadFloats(store.Get(name + ".lookup_table"));
  layer.outliers = ReadOutliers(store, name);
  ValidateCsr(layer.outliers, out_features, in_features, where);
  AddEntries(ReadFullRows(store, name, out_features), out_features, where, &layer.outliers);
  if (const FileTensor* bias = store.Find(name + ".bias")) layer.bias = ReadFloats(*bias);
  ValidatePackedLayer(layer, where);
  return layer;
}

std::vector<TensorView> PackedTensors(const PackedLayer& layer, const std::string& name) {
  const int64_t out = layer.out_features, nonzeros = layer.outliers.NonZeros();
  std::vector<TensorView> tensors = {
      View(name + ".qweight", DType::kI32, {layer.in_features / 32 * layer.bits, out},
           layer.qweight),
      View(name + ".lookup_table", DType::kF32, {out, layer.TableSize()}, layer.lookup_table)};
  if (!layer.outliers.row_ptr.empty()) {
    tensors.push_back(View(name + ".rows", DType::kI32, {out + 1}, layer.outliers.row_ptr));
    tensors.push_back(View(name + ".cols", DType::kI32, {nonzeros}, layer.outliers.cols));
    tensors.push_back(View(name + ".vals", DType::kF32, {nonzeros}, layer.outliers.vals));
  }
  if (!layer.bias.empty()) {
    tensors.push_back(View(name + ".bias", DType::kF32, {out}, layer.bias));
  }
  return tensors;
}

std::vector<std::string> PackedTensorNames(const std::string& name) {
  std::vector<std::string> names = OptionalPackedTensorNames(name);
  for (const char* part : {".qweight", ".lookup_table", ".full_rows", ".full_row_indices"}) {
    names.push_back(name + part);
  }
  return names;
}

std::vector<std::string> OptionalPackedTensorNames(const std::string& name) {
  return {name + ".rows", name + ".cols", name + ".vals", name + kStartRows};
}

std::string SparseCountName(const std::string& name) { return kSparseCount + name; }

void CheckSparseCounts(const TensorStore& store, ProblemList* problems) {
  constexpr size_t kPrefix = sizeof kSparseCount - 1;
  for (const auto& [name, count] : store.integers()) {
    if (name.rfind(kSparseCount, 0) != 0) {
      problems->Add("the number " + name + " is unknown");
      continue;
    }
    const std::string vals = name.substr(kPrefix) + ".vals";
    const FileTensor* tensor = store.Find(vals);
    if (tensor == nullptr) {
      problems->Add("tensor " + vals + " is missing, which " + name + " counts");
    } else if (count != ElementCount(tensor->shape, vals)) {
      problems->Add(StrCat(name, ": expected ", ElementCount(tensor->shape, vals), " as in ", vals,
                           ", found ", count));
    }
  }
}

std::vector<int32_t> BalancedStartRows(const Csr& csr) {
  constexpr int64_t kOutliersPerThread = 10, kThreadsPerBlock = 128;
  const int64_t nonzeros = csr.NonZeros();
  const int64_t wanted = (nonzeros + kOutliersPerThread - 1) / kOutliersPerThread;
  const int64_t threads = (wanted + kThreadsPerBlock - 1) / kThreadsPerBlock * kThreadsPerBlock;
  std::vector<int32_t> rows(static_cast<size_t>(threads), -1);
  if (threads == 0) return rows;
  const int64_t per_thread = (nonzeros + threads - 1) / threads;
  const auto begin = csr.row_ptr.begin(), end = csr.row_ptr.end() - 1;
  for (int64_t t = 0; t < threads && per_thread * t <= nonzeros; ++t) {
    const auto after = std::lower_bound(begin, end, per_thread * t);
    rows[static_cast<size_t>(t)] = static_cast<int32_t>(after == begin ? 0 : after - begin - 1);
  }
  return rows;
}

TensorView StartRowsTensor(const std::string& name, const std::vector<int32_t>& rows) {
  return View(name + kStartRows, DType::kI32, {static_cast<int64_t>(rows.size())}, rows);
}

bool IsStartRows(const std::string& tensor) { return EndsWith(tensor, kStartRows); }

}  // namespace sq
