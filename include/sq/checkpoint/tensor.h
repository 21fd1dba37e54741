// Tensors as files hold them.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace sq {

class MappedFile;

enum class DType { kBool, kU8, kI8, kU16, kI16, kF16, kBF16, kU32, kI32, kF32, kU64, kI64, kF64 };

// Bytes of one element, and the name that safetensors uses ("BF16").
int64_t DTypeBytes(DType dtype);
const char* DTypeName(DType dtype);

// The types that ReadFloats takes, and how messages list them.
bool IsFloat(DType dtype);
constexpr char kFloatTypes[] = "F32, F16, BF16 or F64";

using Shape = std::vector<int64_t>;

// "[4096, 11008]"
std::string ShapeText(const Shape& shape);

// Product of the sizes; throws sq::Error, naming `what`, on a negative size or overflow.
int64_t ElementCount(const Shape& shape, const std::string& what);

// Throws sq::Error, naming `path`, unless `name` is short and printable: a file's names go into
// messages and listings as they are.
void CheckTensorName(std::string_view name, const std::string& path);

// Elements that lie in a file in another order than row by row, such as a transposed matrix: copied
// when first asked for, and kept.
class StridedCopy {
 public:
  // Element [i, j, ...] lies (strides[0] * i + strides[1] * j + ...) elements of `element_bytes`
  // after `offset`; the caller has checked that all do lie in the file.
  StridedCopy(std::shared_ptr<const MappedFile> file, int64_t offset, int64_t element_bytes,
              Shape shape, std::vector<int64_t> strides);
  const uint8_t* data() const;  // row by row

 private:
  std::shared_ptr<const MappedFile> file_;
  int64_t offset_, element_bytes_;
  Shape shape_;
  std::vector<int64_t> strides_;
  mutable std::once_flag once_;
  mutable std::vector<uint8_t> copy_;
};

// A tensor inside a mapped file, which it keeps alive. Row-major, contiguous, any alignment.
struct FileTensor {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
  std::shared_ptr<const MappedFile> file;
  int64_t offset = 0;  // of the data in the file
  int64_t bytes = 0;
  std::shared_ptr<const StridedCopy> copy = nullptr;  // set unless the file itself has that order

  const uint8_t* data() const;
  // "model.safetensors: tensor lm_head.weight", to begin an error message with.
  std::string Where() const;
  // Drops its pages from memory until they are read again.
  void Release() const;
};

// A tensor to be written: a view of memory that the caller keeps alive.
struct TensorView {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
  const void* data = nullptr;
  int64_t bytes = 0;
};

// Throws sq::Error naming file, tensor, expected and found.
void CheckShape(const FileTensor& tensor, const Shape& expected);
void CheckDType(const FileTensor& tensor, DType expected);
void CheckFloatType(const FileTensor& tensor);

// Converts elements [first, first + count) of a tensor of floats to fp32. Throws sq::Error for
// other types, and for a finite F64 that is too large.
void ReadFloats(const FileTensor& tensor, int64_t first, int64_t count, float* out);

// Throws sq::Error naming the first element that is NaN or infinite, of a tensor of floats; other
// types have none.
void CheckFinite(const FileTensor& tensor);

// All elements: of a tensor of floats as fp32; of an I32 or I64 tensor as int32. Throws sq::Error
// for other types and for values that do not fit.
std::vector<float> ReadFloats(const FileTensor& tensor);
std::vector<int32_t> ReadIntegers(const FileTensor& tensor);

// A tensor as it goes into another checkpoint: as it is stored, but F64 as F32, in which everything
// is computed. Its data is for DataToWrite, which returns the file's own bytes, or those of
// `buffer`, which it fills.
TensorView ToWrite(const FileTensor& tensor);
const void* DataToWrite(const FileTensor& tensor, std::vector<float>* buffer);

}  // namespace sq
